/** A file that is written when long work is done: whether it can be is found out before, and what it holds stays until then. */
import {
  accessSync,
  closeSync,
  constants,
  mkdirSync,
  openSync,
  rmSync,
  type Stats,
  statSync,
} from "node:fs";
import { writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { realPath } from "../state/real-path.ts";
import { putOver } from "../state/replace-file.ts";

/** What others have open, too. */
const DESCRIPTORS = /^\/(?:dev\/(?:fd\/|std)|proc\/)/;

/**
 * @returns what writes it, in one step where its folder allows that
 * @throws Error of the system when it cannot be written
 */
export function laterFile(path: string): (text: string) => Promise<void> {
  const found = statSync(path, { throwIfNoEntry: false });
  // Opening a pipe would wait for its reader, and a rename would replace a device.
  if (found !== undefined && (isNoFile(found) || DESCRIPTORS.test(path))) {
    return (text) => writeFile(path, text);
  }
  const real = realPath(path);
  mkdirSync(dirname(real), { recursive: true });
  closeSync(openSync(real, "a"));
  if (found === undefined) rmSync(real);
  if (found !== undefined && !mayWrite(dirname(real))) {
    return (text) => writeFile(real, text);
  }
  const mode = (found?.mode ?? 0o666) & 0o777;
  // Several may draw the same picture at once, and each for itself.
  return (text) => putOver(real, `${real}.${process.pid}.tmp`, text, mode);
}

function isNoFile(found: Stats): boolean {
  return !found.isFile() && !found.isDirectory();
}

function mayWrite(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
