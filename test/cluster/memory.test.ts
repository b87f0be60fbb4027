/** Where the memory of all is. */
import { expect, test } from "bun:test";
import { tmpdir } from "node:os";
import { foldersFor, shareMemory } from "../../src/cluster/memory.ts";

test("is in memory where there is room for all of it", () => {
  const free = (bytes: number) => (folder: string) => (folder === "/dev/shm" ? bytes : 0);
  const both = (folder: string) => (folder === "/dev/shm" ? 2 ** 26 : Number.POSITIVE_INFINITY);
  expect(foldersFor(2 ** 26, both)).toEqual(["/dev/shm", tmpdir()]);
  expect(foldersFor(2 ** 26 + 1, both)).toEqual([tmpdir()]);
  expect(foldersFor(2 ** 26, free(2 ** 26))).toEqual(["/dev/shm"]);
  expect(foldersFor(2 ** 26, free(2 ** 26 - 1))).toEqual([]);
});

test("is refused where nobody has room, with how much is needed and where", () => {
  expect(() => shareMemory({ rows: 2 ** 27, clients: 0 })).toThrow(
    / MiB are needed .*\/dev\/shm.*TMPDIR/,
  );
});
