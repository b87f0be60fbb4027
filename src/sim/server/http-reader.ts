/** Reads HTTP/1.1 requests off a connection as an engine's server does (RFC 9112); no I/O. */

export interface HttpRequest {
  readonly method: string;
  /** As in the request line. */
  readonly target: string;
  readonly headers: Headers;
  readonly body: Uint8Array;
  /** Whether the client takes another answer on this connection. */
  readonly keepsAlive: boolean;
  /** HTTP/1.0 knows no chunks. */
  readonly takesChunks: boolean;
}

/** What cannot be read; the connection is of no use any more. */
export class MalformedRequest extends Error {
  override readonly name = "MalformedRequest";
}

/** As h11 has it. */
const MAX_HEAD_BYTES = 64 * 1024;
const MAX_BODY_BYTES = 1024 ** 3;

interface Head {
  readonly method: string;
  readonly target: string;
  readonly headers: Headers;
  readonly isOld: boolean;
  /** Bytes of the body; `null` when it comes in chunks. */
  readonly length: number | null;
}

export class HttpReader {
  #parts: Buffer[] = [];
  #size = 0;
  #head: Head | null = null;
  #body: Buffer[] = [];
  #bodySize = 0;
  /** Bytes of the current chunk that are still to come, with the line break behind it; 0: a size is next. */
  #chunkLeft = 0;
  /** The last chunk has been read: trailers, and an empty line, are next. */
  #isInTrailers = false;

  push(bytes: Uint8Array): void {
    this.#parts.push(Buffer.from(bytes));
    this.#size += bytes.length;
  }

  /** Nothing of a request has come. */
  get isEmpty(): boolean {
    return this.#size === 0 && this.#head === null;
  }

  /** Whether a head has come whose client waits for a word before it sends the body; once for each. */
  takeContinue(): boolean {
    if (this.#head?.headers.get("expect")?.toLowerCase() !== "100-continue") return false;
    this.#head.headers.delete("expect");
    return true;
  }

  /** The next whole request, `null` while it is not there. Throws `MalformedRequest`. */
  next(): HttpRequest | null {
    this.#head ??= this.#readHead();
    if (this.#head === null) return null;
    const { method, target, headers, isOld, length } = this.#head;
    const body = length === null ? this.#readChunks() : this.#readLength(length);
    if (body === null) return null;
    this.#head = null;
    const connection = headers.get("connection")?.toLowerCase() ?? "";
    const keepsAlive = !isOld && !connection.split(/\s*,\s*/).includes("close");
    return { method, target, headers, body, keepsAlive, takesChunks: !isOld };
  }

  #readHead(): Head | null {
    const bytes = this.#joined();
    const end = bytes.indexOf("\r\n\r\n");
    if (end < 0) {
      if (bytes.length > MAX_HEAD_BYTES) throw new MalformedRequest("the head is too long");
      return null;
    }
    const [first = "", ...lines] = bytes.subarray(0, end).toString("latin1").split("\r\n");
    this.#drop(end + 4);
    const [, method, target, version] = /^(\S+) (\S+) HTTP\/1\.([01])$/.exec(first) ?? [];
    if (method === undefined || target === undefined) throw new MalformedRequest(first);
    const headers = headersOf(lines);
    const isChunked = headers.get("transfer-encoding")?.toLowerCase() === "chunked";
    const length = isChunked ? null : Number(headers.get("content-length") ?? 0);
    if (length !== null && !(Number.isInteger(length) && length >= 0 && length <= MAX_BODY_BYTES)) {
      throw new MalformedRequest("the length is none");
    }
    return { method, target, headers, isOld: version === "0", length };
  }

  #readLength(length: number): Buffer | null {
    if (this.#size < length) return null;
    const body = this.#joined().subarray(0, length);
    this.#drop(length);
    return body;
  }

  #readChunks(): Buffer | null {
    while (this.#takeChunk()) {
      const line = this.#readLine();
      if (line === null) return null;
      if (this.#isInTrailers) {
        if (line !== "") continue;
        const body = Buffer.concat(this.#body);
        this.#body = [];
        this.#bodySize = 0;
        this.#isInTrailers = false;
        return body;
      }
      const size = Number.parseInt(line, 16);
      if (!/^[0-9a-f]+\s*(;|$)/i.test(line)) throw new MalformedRequest("no size of a chunk");
      if (this.#bodySize + size > MAX_BODY_BYTES)
        throw new MalformedRequest("the body is too long");
      if (size === 0) this.#isInTrailers = true;
      else this.#chunkLeft = size + 2;
    }
    return null;
  }

  /** Moves what is there of the current chunk to the body; whether all of it was. */
  #takeChunk(): boolean {
    while (this.#chunkLeft > 0) {
      const part = this.#parts.shift();
      if (part === undefined) return false;
      const taken = part.subarray(0, this.#chunkLeft);
      if (taken.length < part.length) this.#parts.unshift(part.subarray(taken.length));
      this.#size -= taken.length;
      const data = taken.subarray(0, Math.max(0, this.#chunkLeft - 2));
      this.#body.push(data);
      this.#bodySize += data.length;
      this.#chunkLeft -= taken.length;
    }
    return true;
  }

  #readLine(): string | null {
    const bytes = this.#joined();
    const end = bytes.indexOf("\r\n");
    if (end < 0) {
      if (bytes.length > MAX_HEAD_BYTES) throw new MalformedRequest("a line is too long");
      return null;
    }
    const line = bytes.subarray(0, end).toString("latin1");
    this.#drop(end + 2);
    return line;
  }

  #joined(): Buffer {
    const [first] = this.#parts;
    if (this.#parts.length === 1 && first !== undefined) return first;
    const bytes = Buffer.concat(this.#parts);
    this.#parts = bytes.length === 0 ? [] : [bytes];
    return bytes;
  }

  #drop(count: number): void {
    const rest = this.#joined().subarray(count);
    this.#parts = rest.length === 0 ? [] : [rest];
    this.#size = rest.length;
  }
}

function headersOf(lines: readonly string[]): Headers {
  const headers = new Headers();
  for (const line of lines) {
    const colon = line.indexOf(":");
    try {
      headers.append(line.slice(0, colon), line.slice(colon + 1).trim());
    } catch {
      throw new MalformedRequest(line);
    }
  }
  return headers;
}
