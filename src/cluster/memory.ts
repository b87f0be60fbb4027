/** The memory that the processes of one proxy have in common: a file that all of them have mapped. */
import {
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { errorMessage } from "../core/thrown.ts";
import { lockFile } from "../state/lock.ts";
import { Bells, bellBytes } from "./bells.ts";
import { WorkersError } from "./errors.ts";
import { NewsRings, newsBytes } from "./news-rings.ts";
import { SESSION_BYTES, SessionTable, type SessionTableOptions } from "./session-table.ts";
import { Table, type TableSize, tableBytes } from "./table.ts";

const IN_MEMORY = "/dev/shm";
/** What `mkdtemp` makes of the prefix. */
const PREFIX = "lmproxy-";
const NAME = /^lmproxy-\w{6}$/;
const TABLE = "table";
/** Whoever made the folder has it locked for as long as it lives. */
const LOCK = "lock";

export interface SharedMemory {
  readonly path: string;
  readonly size: TableSize;
  readonly table: Table;
  sessions(options: SessionTableOptions): SessionTable;
  news(): NewsRings;
  bells(): Bells;
  /** Takes the file away; whoever has mapped it goes on. */
  remove(): void;
}

/**
 * Makes it anew, in a file that nobody else may read.
 * @throws WorkersError where there is no room for it
 */
export function shareMemory(size: TableSize): SharedMemory {
  // They may have the room that is needed.
  for (const within of [IN_MEMORY, tmpdir()]) removeLeft(within);
  const bytes = bellsAt(size) + bellBytes(size.rows);
  const memory = newMemory(size, bytes, foldersFor(bytes, freeBytes));
  // Also where the start fails, and nobody is left who would.
  process.once("exit", memory.remove);
  return {
    ...memory,
    remove() {
      process.off("exit", memory.remove);
      memory.remove();
    },
  };
}

/**
 * Those that have room for all, the best first: the one in memory, of which nothing is ever written to a disk. Where
 * a folder is full, writing to what is mapped ends the process (SIGBUS). Containers have 64 MiB in memory, unless
 * told otherwise.
 */
export function foldersFor(bytes: number, freeIn: (folder: string) => number): readonly string[] {
  return [IN_MEMORY, tmpdir()].filter((folder) => freeIn(folder) >= bytes);
}

/** In the first where one can be made that can be mapped: it may be only to be read, or files may not be so large. */
function newMemory(size: TableSize, bytes: number, folders: readonly string[]): SharedMemory {
  let reason = "";
  for (const within of folders) {
    let folder: string | null = null;
    try {
      folder = mkdtempSync(join(within, PREFIX));
      // Before there is a table: without one nobody takes the folder for left.
      const unlock = lockFolder(folder);
      const path = join(folder, TABLE);
      // All of it is had at once: others may fill the folder while we run.
      writeFileSync(path, new Uint8Array(bytes), { mode: 0o600 });
      const memory = openMemory(path, size);
      return {
        ...memory,
        remove() {
          memory.remove();
          unlock();
        },
      };
    } catch (error) {
      if (folder !== null) rmSync(folder, { recursive: true, force: true });
      // The next one.
      reason = `; the last of them: ${errorMessage(error)}`;
    }
  }
  throw new WorkersError(
    `with --workers, ${Math.ceil(bytes / 2 ** 20)} MiB are needed that can be written, in ${IN_MEMORY} or in ` +
      `${tmpdir()} (TMPDIR)${reason}`,
  );
}

/** Where none can be had, the folder is never found to be left. */
function lockFolder(folder: string): () => void {
  const path = join(folder, LOCK);
  const lock = lockFile(path);
  if (lock.kind === "held") return lock.release;
  rmSync(path, { force: true });
  return () => {};
}

/** Takes away what this user's processes have left that were killed, and their workers with them. */
function removeLeft(within: string): void {
  for (const name of namesIn(within)) {
    const folder = join(within, name);
    if (!NAME.test(name) || !isOurs(folder)) continue;
    if (![TABLE, LOCK].every((file) => existsSync(join(folder, file)))) continue;
    const lock = lockFile(join(folder, LOCK), 0);
    if (lock.kind !== "held") continue;
    rmSync(folder, { recursive: true, force: true });
    lock.release();
  }
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function isOurs(folder: string): boolean {
  const stats = lstatSync(folder, { throwIfNoEntry: false });
  return stats?.isDirectory() === true && stats.uid === process.geteuid?.();
}

function freeBytes(folder: string): number {
  try {
    const { blocks, bavail, bsize } = statfsSync(folder);
    // Without a limit it has none.
    return blocks === 0 ? Number.POSITIVE_INFINITY : bavail * bsize;
  } catch {
    return 0;
  }
}

/** They stand behind all that versions before know. */
function bellsAt(size: TableSize): number {
  return tableBytes(size) + SESSION_BYTES + newsBytes(size.rows);
}

/** Maps what another process has made. */
export function openMemory(path: string, size: TableSize): SharedMemory {
  const bytes = Bun.mmap(path, { shared: true });
  return {
    path,
    size,
    table: new Table(bytes, size),
    news: () => new NewsRings(bytes.subarray(tableBytes(size) + SESSION_BYTES), size.rows),
    bells: () => new Bells(bytes.subarray(bellsAt(size)), size.rows),
    sessions: (options) => new SessionTable(bytes.subarray(tableBytes(size)), options),
    remove: () => rmSync(join(path, ".."), { recursive: true, force: true }),
  };
}
