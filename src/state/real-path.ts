import { readlinkSync, realpathSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";

/** As many links in a row as Linux follows. */
const MAX_LINKS = 40;

/**
 * The one path of a file, however it is spelt: absolute, with every symbolic link followed, also
 * when the file, or the target of a link to it, does not exist yet. What cannot be followed stays
 * as it is; whoever opens the path learns why.
 */
export function realPath(path: string, linksLeft: number = MAX_LINKS): string {
  const absolute = resolve(path);
  try {
    return realpathSync.native(absolute);
  } catch {
    const folder = dirname(absolute);
    if (folder === absolute || linksLeft === 0) return absolute;
    const target = linkTarget(absolute);
    if (target !== null) return realPath(resolve(folder, target), linksLeft - 1);
    return join(realPath(folder, linksLeft), basename(absolute));
  }
}

function linkTarget(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null;
  }
}
