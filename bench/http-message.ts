/** What a message consists of, as it comes; buffers are only valid during the call. */
export interface MessageSink {
  /** The start line and headers, without the empty line. */
  onHead(head: string): void;
  onBody(data: Buffer, start: number, end: number): void;
  /** The message is complete. The reader is ready for the next one. */
  onEnd(): void;
}

type State =
  | "head"
  | "length"
  | "chunk-size"
  | "chunk-data"
  | "chunk-end"
  | "trailer"
  | "until-eof";

const LONGEST_HEAD_BYTES = 65_536;
const LF = 10;
const CR = 13;
const SEMICOLON = 59;
const LENGTH = /\r\ncontent-length: *(\d+)/i;
const CHUNKED = /\r\ntransfer-encoding: *chunked/i;

/**
 * Reads HTTP/1.1 messages off one connection, several after each other, split anywhere. Strict
 * where a benchmark could fool itself: a malformed chunk size or an endless head throws.
 */
export class MessageReader {
  readonly #sink: MessageSink;
  readonly #isResponse: boolean;
  #state: State = "head";
  #held: Buffer | null = null;
  #leftBytes = 0;
  #chunkSize = 0;
  #digits = 0;
  #isExtension = false;
  #trailerBytes = 0;

  constructor(kind: "request" | "response", sink: MessageSink) {
    this.#isResponse = kind === "response";
    this.#sink = sink;
  }

  /** @throws Error when the bytes are not HTTP/1.1. */
  feed(incoming: Buffer): void {
    let data = incoming;
    if (this.#held) {
      data = Buffer.concat([this.#held, incoming]);
      this.#held = null;
    }
    let at = 0;
    while (at < data.length) {
      const next = this.#step(data, at);
      if (next === at && this.#state === "head") {
        if (data.length - at > LONGEST_HEAD_BYTES) throw new Error("endless headers");
        this.#held = Buffer.from(data.subarray(at));
        return;
      }
      at = next;
    }
  }

  /**
   * The peer has closed: true if that ended a message properly or there was none under way, false
   * if it cut one off.
   */
  eof(): boolean {
    if (this.#state === "until-eof") {
      this.#end();
      return true;
    }
    return this.#state === "head" && this.#held === null;
  }

  #step(data: Buffer, at: number): number {
    switch (this.#state) {
      case "head":
        return this.#head(data, at);
      case "length":
      case "chunk-data":
        return this.#counted(data, at);
      case "chunk-size":
        return this.#size(data, at);
      case "chunk-end":
        if (data[at] === LF) {
          this.#state = "chunk-size";
        } else if (data[at] !== CR) throw new Error("chunk longer than its size");
        return at + 1;
      case "trailer":
        return this.#trailer(data, at);
      case "until-eof":
        this.#sink.onBody(data, at, data.length);
        return data.length;
    }
  }

  #head(data: Buffer, at: number): number {
    const end = data.indexOf("\r\n\r\n", at, "latin1");
    if (end < 0) return at;
    const head = data.toString("latin1", at, end);
    if (this.#isResponse && head.startsWith("HTTP/1.1 1")) return end + 4;
    const length = LENGTH.exec(head);
    this.#leftBytes = length ? Number(length[1]) : 0;
    const isChunked = !length && CHUNKED.test(head);
    this.#state = isChunked
      ? "chunk-size"
      : this.#isResponse && !length
        ? "until-eof"
        : this.#leftBytes > 0
          ? "length"
          : "head";
    this.#chunkSize = 0;
    this.#digits = 0;
    this.#sink.onHead(head);
    if (this.#state === "head") this.#sink.onEnd();
    return end + 4;
  }

  #counted(data: Buffer, at: number): number {
    const end = Math.min(data.length, at + this.#leftBytes);
    this.#leftBytes -= end - at;
    this.#sink.onBody(data, at, end);
    if (this.#leftBytes === 0) {
      if (this.#state === "chunk-data") this.#state = "chunk-end";
      else this.#end();
    }
    return end;
  }

  #size(data: Buffer, start: number): number {
    for (let at = start; at < data.length; at++) {
      const byte = data[at] ?? 0;
      if (byte === CR) continue;
      if (byte === SEMICOLON) this.#isExtension = true;
      else if (byte === LF) {
        if (this.#digits === 0) throw new Error("chunk without a size");
        this.#leftBytes = this.#chunkSize;
        this.#state = this.#chunkSize === 0 ? "trailer" : "chunk-data";
        this.#chunkSize = 0;
        this.#digits = 0;
        this.#isExtension = false;
        this.#trailerBytes = 0;
        return at + 1;
      } else if (!this.#isExtension) {
        this.#chunkSize = this.#chunkSize * 16 + hexDigit(byte);
        if (++this.#digits > 8) throw new Error("chunk size out of range");
      }
    }
    return data.length;
  }

  #trailer(data: Buffer, start: number): number {
    for (let at = start; at < data.length; at++) {
      if (data[at] === LF) {
        if (this.#trailerBytes === 0) {
          this.#end();
          return at + 1;
        }
        this.#trailerBytes = 0;
      } else if (data[at] !== CR) this.#trailerBytes++;
    }
    return data.length;
  }

  #end(): void {
    this.#state = "head";
    this.#sink.onEnd();
  }
}

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 32;
  if (lower >= 97 && lower <= 102) return lower - 87;
  throw new Error("malformed chunk size");
}
