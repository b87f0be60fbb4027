/** The memory that the processes of one proxy have in common: a file that all of them have mapped. */
import { existsSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NewsRings, newsBytes } from "./news-rings.ts";
import { SESSION_BYTES, SessionTable, type SessionTableOptions } from "./session-table.ts";
import { Table, type TableSize, tableBytes } from "./table.ts";

export interface SharedMemory {
  readonly path: string;
  readonly size: TableSize;
  readonly table: Table;
  sessions(options: SessionTableOptions): SessionTable;
  news(): NewsRings;
  /** Takes the file away; whoever has mapped it goes on. */
  remove(): void;
}

/** Makes it anew, in a file that nobody else may read. What is not used of it takes no memory. */
export function shareMemory(size: TableSize): SharedMemory {
  // Where there is a file system in memory, nothing of it is ever written to a disk.
  const parent = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();
  const folder = mkdtempSync(join(parent, "lmproxy-"));
  const path = join(folder, "table");
  writeFileSync(path, "", { mode: 0o600 });
  truncateSync(path, tableBytes(size) + SESSION_BYTES + newsBytes(size.rows));
  return openMemory(path, size);
}

/** Maps what another process has made. */
export function openMemory(path: string, size: TableSize): SharedMemory {
  const bytes = Bun.mmap(path, { shared: true });
  return {
    path,
    size,
    table: new Table(bytes, size),
    news: () => new NewsRings(bytes.subarray(tableBytes(size) + SESSION_BYTES), size.rows),
    sessions: (options) => new SessionTable(bytes.subarray(tableBytes(size)), options),
    remove: () => rmSync(join(path, ".."), { recursive: true, force: true }),
  };
}
