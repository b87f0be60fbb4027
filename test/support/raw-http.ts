/** Bytes sent over a socket as they are, also those that no HTTP client would send. */
import { type HttpAnswer, readAnswers } from "./http-answers.ts";
import { writeAll } from "./write-all.ts";

export interface Heard {
  /** The final answers, in order. */
  readonly answers: readonly HttpAnswer[];
  /** Informational answers (1xx) before them. */
  readonly informational: readonly number[];
  /** The proxy ended the connection; otherwise we did, once an answer was complete. */
  readonly closed: boolean;
}

export interface SendOptions {
  /** Waits until the proxy ends the connection. */
  readonly untilClosed?: boolean;
  /** Answers to wait for. Default 1. */
  readonly count?: number;
  readonly tls?: boolean;
}

/**
 * Sends `bytes` (text: a byte a character) over a connection of its own; resolves when `count`
 * answers are complete or the proxy has ended the connection.
 * @throws when what comes back is no well-formed HTTP.
 */
export async function sendRaw(
  port: number,
  bytes: string | Uint8Array,
  options: SendOptions = {},
): Promise<Heard> {
  const { untilClosed = false, count = 1, tls = false } = options;
  const sent = typeof bytes === "string" ? Buffer.from(bytes, "latin1") : Buffer.from(bytes);
  const isHead = sent.subarray(0, 5).toString("latin1") === "HEAD ";
  let received = Buffer.alloc(0);
  const { promise, resolve, reject } = Promise.withResolvers<Heard>();
  const hear = (closed: boolean) => {
    try {
      const { answers } = readAnswers(received, isHead);
      const final = answers.filter(({ status }) => status >= 200);
      if (!closed && (untilClosed || final.length < count)) return;
      const informational = answers.map(({ status }) => status).filter((status) => status < 200);
      resolve({ answers: final, informational, closed });
    } catch (error) {
      reject(error);
    }
  };
  const { write } = writeAll(sent);
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    ...(tls ? { tls: { rejectUnauthorized: false } } : {}),
    socket: {
      open: (opened) => {
        if (!tls) write(opened);
      },
      handshake: write,
      drain: write,
      data: (_socket, piece) => {
        received = Buffer.concat([received, piece]);
        hear(false);
      },
      close: () => hear(true),
      error: () => hear(true),
    },
  });
  try {
    return await promise;
  } finally {
    socket.terminate();
  }
}

/** A POST of JSON as well-formed as can be, to build others from. */
export function postText(path: string, body: string, headers: readonly string[] = []): string {
  const lines = [
    `POST ${path} HTTP/1.1`,
    "Host: proxy",
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(body, "latin1")}`,
    ...headers,
  ];
  return `${lines.join("\r\n")}\r\n\r\n${body}`;
}
