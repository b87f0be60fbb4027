/** Where the memory of all is. */
import { expect, test } from "bun:test";
import { tmpdir } from "node:os";
import { foldersFor } from "../../src/cluster/memory.ts";

test("is in memory where there is room for all of it", () => {
  const free = (bytes: number) => (folder: string) => (folder === "/dev/shm" ? bytes : 0);
  expect(foldersFor(2 ** 26, free(2 ** 26))).toEqual(["/dev/shm", tmpdir()]);
  expect(foldersFor(2 ** 26, free(2 ** 26 - 1))).toEqual([tmpdir(), "/dev/shm"]);
});
