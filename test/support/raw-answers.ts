/** Answers that no engine should give, as scripts for `startRawServer`. */
import { gzipSync } from "node:zlib";
import { httpAnswer, type RawStep } from "./raw-server.ts";

const SSE_HEAD =
  "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/** One chunk of a chunked body. */
export function chunk(text: string): string {
  return `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
}

const EVENT = chunk('data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n');
const LAST_CHUNK = "0\r\n\r\n";

/** Scripts by what is wrong with them. */
export const RAW_ANSWERS = {
  /** Bytes that are no HTTP at all. */
  garbage: [{ send: "\u0000\u0001\u0016\u0003garbage\r\n\r\n\r\n" }, { close: true }],
  /** Closed without a byte. */
  nothing: [{ close: true }],
  /** Reset without a byte. */
  reset: [{ reset: true }],
  /** Never a byte. */
  silence: [],
  /** Headers that end in the middle of a line. */
  halfHead: [{ send: "HTTP/1.1 200 OK\r\ncontent-ty" }, { close: true }],
  /** Headers, then nothing more. */
  headOnly: [{ send: SSE_HEAD }],
  /** 40 MB of headers. */
  endlessHead: [
    { send: "HTTP/1.1 200 OK\r\n" },
    { repeat: `x-filler: ${"y".repeat(4_000)}\r\n`, times: 10_000 },
    { send: "content-length: 0\r\n\r\n" },
  ],
  /** Fewer bytes than Content-Length says, then closed. */
  shortBody: [{ send: httpAnswer('{"a":1}').replace("length: 7", "length: 700") }, { close: true }],
  /** More bytes than Content-Length says. */
  longBody: [{ send: httpAnswer('{"a":1}').replace("length: 7", "length: 3") }],
  /** Content-Length that is no number. */
  badLength: [
    { send: httpAnswer('{"a":1}').replace("length: 7", "length: seven") },
    { close: true },
  ],
  /** Two Content-Lengths that differ. */
  twoLengths: [{ send: httpAnswer('{"a":1}', ["content-length: 3"]) }, { close: true }],
  /** A chunk size that is no hexadecimal number. */
  badChunk: [{ send: `${SSE_HEAD}${EVENT}zz\r\n` }, { close: true }],
  /** A stream without its last chunk, closed between two events. */
  cutBetweenEvents: [{ send: SSE_HEAD + EVENT + EVENT }, { waitMs: 100 }, { close: true }],
  /** The same, reset. */
  resetBetweenEvents: [{ send: SSE_HEAD + EVENT + EVENT }, { waitMs: 100 }, { reset: true }],
  /** A stream that is closed in the middle of an event, inside a multi-byte character. */
  cutInEvent: [
    { send: SSE_HEAD + EVENT },
    { send: Buffer.concat([Buffer.from("100\r\ndata: "), Buffer.from("模").subarray(0, 2)]) },
    { waitMs: 100 },
    { close: true },
  ],
  /** No length, no chunks: the end of the connection is the end of the body. */
  untilClose: [
    {
      send: 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n{"a":1}',
    },
    { waitMs: 100 },
    { close: true },
  ],
  /** An informational answer before the real one. */
  earlyHints: [{ send: `HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n${httpAnswer('{"a":1}')}` }],
  /** Hop-by-hop headers, one of them named by Connection. */
  hopByHop: [
    {
      send: httpAnswer('{"a":1}', [
        "connection: keep-alive, x-hop",
        "x-hop: 1",
        "keep-alive: timeout=5",
      ]),
    },
  ],
  /** A proper stream whose events are split at every byte. */
  trickle: [
    { send: SSE_HEAD },
    ...[...Buffer.from("data: 推理\r\n\r\n: c\n\ndata: [DONE]\n\n")].map((byte) => ({
      send: Buffer.concat([Buffer.from("1\r\n"), Buffer.from([byte]), Buffer.from("\r\n")]),
    })),
    { send: LAST_CHUNK },
  ],
} as const satisfies Readonly<Record<string, readonly RawStep[]>>;

export type RawAnswerName = keyof typeof RAW_ANSWERS;

/** 64 MiB of zeros in 64 KiB of gzip. */
export function gzipBomb(): readonly RawStep[] {
  const body = gzipSync(Buffer.alloc(64 * 1024 * 1024));
  const head = `HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: ${body.length}\r\n\r\n`;
  return [{ send: Buffer.concat([Buffer.from(head), body]) }];
}
