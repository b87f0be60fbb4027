import { constants } from "node:fs";
import { access, mkdir, open, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * Replaces a file's content in one step: whoever reads `path`, also after a crash or loss of power
 * at any moment, finds the old text or the new one, whole. The text is written to `<path>.tmp`
 * (mode 0600), forced to the disk, and renamed over `path`; directories that are missing are made
 * (0700).
 * @throws Error when `path` exists and may not be written, and what the system calls throw. The old text is
 *   in place then.
 */
export async function replaceFile(path: string, text: string): Promise<void> {
  const folder = dirname(path);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await refuseReadOnly(path);
  await putOver(path, `${path}.tmp`, text, 0o600);
  await syncFolder(folder);
}

/**
 * Writes `temporary` anew, with these rights, forces it to the disk and renames it over `path`, in the same
 * folder. Nothing is left of it when that fails.
 * @throws what the system calls throw
 */
export async function putOver(
  path: string,
  temporary: string,
  text: string,
  mode: number,
): Promise<void> {
  await rm(temporary, { force: true });
  try {
    const file = await open(temporary, "wx", mode);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
}

/** A rename asks for rights on the directory alone; a file made read-only is meant to stay. */
async function refuseReadOnly(path: string): Promise<void> {
  const found = await stat(path).catch(() => null);
  if (found === null) return;
  const writable = (found.mode & 0o222) !== 0;
  const allowed = await access(path, constants.W_OK).then(
    () => true,
    () => false,
  );
  if (!writable || !allowed) throw new Error("the file is read-only");
}

/** Makes the rename itself last; not every file system can, and the text is safe without it. */
async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, "r");
    await handle.sync().finally(() => handle.close());
  } catch {
    // Nothing is lost but the certainty.
  }
}
