/** Files that flags name: how much of them is read. */
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { readTextFile } from "../../src/commands/read-file.ts";
import { temporaryFolder } from "../state/entries.ts";
import { run } from "./program.ts";

/** A device without an end would be read until the memory is full. */
test
  .skipIf(process.platform !== "linux")
  .each([
    "serve --api-keys @/dev/zero",
    "serve --tls-key /dev/zero --tls-cert /dev/zero",
    "nodes list --admin-key @/dev/zero",
  ])("%s", async (argv) => {
  const { err, code } = await run(argv.split(" "));
  expect(err).toMatch(/^lmproxy: --[\w-]+: "\/dev\/zero" holds more than 16 MiB\n$/);
  expect(code).toBe(2);
});

test("a file is read up to its limit, to the byte, and characters stay whole", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "text");
  const text = "ä".repeat(100_001);
  writeFileSync(path, text);
  expect(readTextFile(path)).toBe(text);
  expect(readTextFile(path, 200_002)).toBe(text);
  expect(() => readTextFile(path, 200_001)).toThrow(expect.objectContaining({ code: "EFBIG" }));
});
