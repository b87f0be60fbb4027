import { closeSync, openSync, readFileSync, readSync } from "node:fs";

const CHUNK_BYTES = 64 * 1024;

/**
 * A whole text file, pipe or device. It is read bit by bit where there is a limit: a size is known of files alone, and
 * a device may have no end.
 * @throws Error whose `code` is the system's, or EFBIG when there is more than `mostBytes`
 */
export function readTextFile(path: string, mostBytes = Number.POSITIVE_INFINITY): string {
  if (mostBytes === Number.POSITIVE_INFINITY) return readFileSync(path, "utf8");
  const fd = openSync(path, "r");
  try {
    const chunks: Uint8Array[] = [];
    for (let bytes = 0; ; ) {
      const chunk = new Uint8Array(CHUNK_BYTES);
      const read = readSync(fd, chunk);
      if (read === 0) return Buffer.concat(chunks).toString("utf8");
      bytes += read;
      if (bytes > mostBytes) throw Object.assign(new Error(path), { code: "EFBIG" });
      chunks.push(chunk.subarray(0, read));
    }
  } finally {
    closeSync(fd);
  }
}
