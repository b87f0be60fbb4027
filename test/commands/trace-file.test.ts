/** The text of traces, however it comes. */
import { expect, test } from "bun:test";
import { textOf, unreadable } from "../../src/commands/trace-file.ts";

const TEXT = 'TIMESTAMP,"ä",😀\n1,2,3\n';

test.each([
  ["plain", new TextEncoder().encode(TEXT)],
  ["gzip", Bun.gzipSync(TEXT)],
  ["zstd", Bun.zstdCompressSync(TEXT)],
  ["UTF-16", Buffer.from(`\uFEFF${TEXT}`, "utf16le")],
  ["too short to be packed", new TextEncoder().encode("{")],
  ["empty", new Uint8Array()],
])("%s: byte by byte it is the same as at once", async (_, bytes) => {
  const inPieces = async (size: number) => {
    let at = 0;
    const next = async () => {
      const piece = Uint8Array.from(bytes.subarray(at, at + size));
      at += size;
      return piece.length > 0 ? piece : undefined;
    };
    return (await Array.fromAsync(textOf(next))).join("");
  };
  const [single, whole] = [await inPieces(1), await inPieces(1_000)];
  expect(single).toBe(whole);
  if (bytes.length > 1) expect(whole).toBe(TEXT);
});

test.each([
  ["EACCES", "cannot be read: this user may not (EACCES)"],
  ["ENOENT", "cannot be read: there is nothing of that name, and no file (ENOENT)"],
  ["EIO", "cannot be read (EIO)"],
])("what is the matter with a file is said: %s", (code, said) => {
  expect(unreadable(Object.assign(new Error("x"), { code }))).toBe(said);
});
