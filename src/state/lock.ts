import { Database, SQLiteError } from "bun:sqlite";
import { closeSync, openSync } from "node:fs";
import { errorCode, errorMessage } from "../core/thrown.ts";

/** What became of the wish for a lock. */
export type Lock =
  | { readonly kind: "held"; readonly release: () => void }
  | { readonly kind: "in_use" }
  /** No lock can be made here, as in a read-only directory. */
  | { readonly kind: "unavailable"; readonly reason: string };

/** Two that start in the same moment can each see the other's attempt: waiting lets one of them win. */
const WAIT_MS = 200;

/**
 * Locks `path`, a file that is made for this and holds nothing, until `release` or the end of the
 * process, however it ends: the lock is the kernel's (POSIX record locks), not the file's
 * existence, which is why the file may stay. Child processes do not inherit it.
 *
 * Bun has no call for file locks. SQLite, which is inside Bun, takes them for an exclusive
 * transaction: 1 to 2 ms at start, of which 0.7 ms load `bun:sqlite`; `flock` through `bun:ffi`
 * took 2 to 3 ms, and a library name for every C library.
 *
 * Nobody in this process may open the file: POSIX drops a process's locks on a file with the first
 * descriptor of it that the process closes.
 *
 * @param waitMs How long another may have it meanwhile.
 */
export function lockFile(path: string, waitMs = WAIT_MS): Lock {
  let database: Database | null = null;
  try {
    createPrivately(path);
    database = new Database(path, { readwrite: true });
    database.run(`PRAGMA busy_timeout = ${waitMs}`);
    // Nothing is ever written: no journal file must be left behind when the process is killed.
    database.run("PRAGMA journal_mode = MEMORY");
    database.run("BEGIN EXCLUSIVE");
  } catch (error) {
    database?.close();
    if (error instanceof SQLiteError && error.code === "SQLITE_BUSY") return { kind: "in_use" };
    return { kind: "unavailable", reason: errorMessage(error) };
  }
  const held = database;
  return { kind: "held", release: () => held.close() };
}

/** SQLite would let others read it, and who can read it can hold us up with a lock of their own. */
function createPrivately(path: string): void {
  try {
    closeSync(openSync(path, "wx", 0o600));
  } catch (error) {
    const exists = errorCode(error) === "EEXIST";
    if (!exists) throw error;
  }
}
