import { UsageError } from "../config/usage-error.ts";
import { errorCode, errorMessage } from "../core/thrown.ts";

/** How a packed file begins, and what unpacks it; null: nothing here does. */
const PACKED = [
  { name: "gzip", bytes: [0x1f, 0x8b], by: "gzip" },
  { name: "zstd", bytes: [0x28, 0xb5, 0x2f, 0xfd], by: "zstd" },
  { name: "xz", bytes: [0xfd, 0x37, 0x7a, 0x58], by: null },
  { name: "bzip2", bytes: [0x42, 0x5a, 0x68], by: null },
  { name: "zip", bytes: [0x50, 0x4b, 0x03, 0x04], by: null },
  { name: "Parquet", bytes: [0x50, 0x41, 0x52, 0x31], by: null },
] as const;

/** Bytes that tell whether and how a file is packed. */
const TELLING = 4;

/**
 * The text of a file or pipe, piece by piece, unpacked where it is packed.
 *
 * @param tell Called with how much of the file is read, 0 to 1; of a pipe nobody knows.
 * @throws UsageError that goes on after the name of the file
 */
export function piecesOf(path: string, tell: (share?: number) => void): AsyncGenerator<string> {
  return textOf(readerOf(path, tell));
}

/** @param next The next bytes, however few; undefined: there are no more. @throws UsageError as `piecesOf` */
export async function* textOf(
  next: () => Promise<Uint8Array<ArrayBuffer> | undefined>,
): AsyncGenerator<string> {
  let first = Buffer.alloc(0);
  // A pipe may hand them on one by one.
  while (first.length < TELLING) {
    const more = await next();
    if (more === undefined) break;
    first = Buffer.concat([first, more]);
  }
  const packed = PACKED.find(({ bytes }) => bytes.every((byte, at) => first[at] === byte));
  if (packed?.by === null) throw new UsageError(`is packed as ${packed.name}: unpack it first`);
  const isWide = first[0] === 0xff && first[1] === 0xfe;
  if (packed === undefined && !isWide && first.includes(0)) throw new UsageError("is no text");
  const whole = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start: (controller) => controller.enqueue(first),
    pull: async (controller) => {
      const value = await next();
      if (value === undefined) controller.close();
      else controller.enqueue(value);
    },
  });
  const decoder = new TextDecoder(isWide ? "utf-16le" : "utf-8");
  try {
    const unpacked =
      packed === undefined ? whole : whole.pipeThrough(new DecompressionStream(packed.by));
    for await (const chunk of unpacked) yield decoder.decode(chunk, { stream: true });
    yield decoder.decode();
  } catch (error) {
    if (error instanceof UsageError || packed === undefined) throw error;
    throw new UsageError(`cannot be unpacked (${packed.name}): ${errorMessage(error)}`);
  }
}

/** Each call reads on; undefined: that was all. */
function readerOf(path: string, tell: (share?: number) => void) {
  const file = Bun.file(path);
  let reader: ReturnType<typeof open> | undefined;
  let read = 0;
  const open = () => file.stream().getReader();
  return async () => {
    try {
      // What cannot be opened throws here.
      reader ??= open();
      const { value } = await reader.read();
      read += value?.length ?? 0;
      tell(Number.isFinite(file.size) ? Math.min(1, read / file.size) : undefined);
      return value;
    } catch (error) {
      throw new UsageError(unreadable(error));
    }
  };
}

/** Why what was named cannot be read, behind its name: it may also be a name that is built in. */
export function unreadable(error: unknown): string {
  const code = errorCode(error) ?? errorMessage(error);
  if (code === "EISDIR") return "is a directory; name one of the files in it";
  if (code === "ENOENT")
    return `cannot be read: there is nothing of that name, and no file (${code})`;
  if (code === "EACCES") return `cannot be read: this user may not (${code})`;
  return `cannot be read (${code})`;
}
