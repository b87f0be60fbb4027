/**
 * What load generator and engine say to each other through the contestant. Only fields that every
 * router passes on are used, so that all contestants carry the same bytes: `max_tokens` is the
 * number of chunks, `seed` the milliseconds between them (0: as fast as they come).
 */

export const MODEL = "bench";
/** What the nodes serve that are registered beside the busy one. */
export const OTHER_MODEL = "other";
/** What every client sends, as OpenAI's do. Not a secret: it opens nothing but loopback here. */
export const CLIENT_KEY = "sk-benchmark-on-loopback-not-a-secret-7f3a91c2";
export const CHAT_PATH = "/v1/chat/completions";
export const JSON_ANSWER_BYTES = 600;
/** Marks the time stamp in a chunk, and appears nowhere else in an answer: one a chunk. */
export const STAMP_MARK = 64; // "@"
export const STAMP_DIGITS = 16;

const CREATED = 1_767_225_600;

export interface Ask {
  stream: boolean;
  chunks: number;
  everyMs: number;
  /** Size of the whole body. */
  bodyBytes: number;
}

/** The body of a chat completion request of exactly `bodyBytes` (or its least size, 130 or so). */
export function requestBody(ask: Ask): string {
  const start = `{"model":"${MODEL}","stream":${ask.stream},"max_tokens":${Math.max(1, ask.chunks)},"seed":${ask.everyMs},"messages":[{"role":"user","content":"`;
  const end = `"}]}`;
  return (
    start + "word ".repeat(ask.bodyBytes).slice(0, ask.bodyBytes - start.length - end.length) + end
  );
}

/** A whole HTTP/1.1 request, as an OpenAI client would send it. */
export function requestBytes(port: number, ask: Ask): Buffer {
  const body = requestBody(ask);
  return Buffer.from(
    `POST ${CHAT_PATH} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Type: application/json\r\nAccept: */*\r\nUser-Agent: bench/1\r\nAuthorization: Bearer ${CLIENT_KEY}\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    "latin1",
  );
}

const STREAM = /"stream": ?(true|false)/;
const CHUNKS = /"max_(?:completion_)?tokens": ?(\d+)/;
const EVERY = /"seed": ?(\d+)/;

/** Reads what was asked from a body that may have been serialised anew on its way. */
export function readAsk(body: string): Omit<Ask, "bodyBytes"> {
  const isStream = STREAM.exec(body)?.[1] === "true";
  return {
    stream: isStream,
    chunks: isStream ? Number(CHUNKS.exec(body)?.[1] ?? 1) : 0,
    everyMs: isStream ? Number(EVERY.exec(body)?.[1] ?? 0) : 0,
  };
}

export function jsonAnswer(): Buffer {
  const answer = (content: string) =>
    JSON.stringify({
      id: "chatcmpl-bench",
      object: "chat.completion",
      created: CREATED,
      model: MODEL,
      choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }],
      usage: { prompt_tokens: 200, completion_tokens: 80, total_tokens: 280 },
    });
  const body = answer("x".repeat(JSON_ANSWER_BYTES - answer("").length));
  return Buffer.from(
    `HTTP/1.1 200 OK\r\ndate: Mon, 23 Nov 2026 12:00:00 GMT\r\nserver: uvicorn\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    "latin1",
  );
}

export const STREAM_HEAD = Buffer.from(
  "HTTP/1.1 200 OK\r\ndate: Mon, 23 Nov 2026 12:00:00 GMT\r\nserver: uvicorn\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n",
  "latin1",
);

function delta(content: string, finish: string | null): string {
  return `data: ${JSON.stringify({
    id: "chatcmpl-bench",
    object: "chat.completion.chunk",
    created: CREATED,
    model: MODEL,
    choices: [{ index: 0, delta: { content }, finish_reason: finish }],
  })}\n\n`;
}

const framed = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;

/** One token's chunk with room for a stamp, ready to send: about 200 bytes. */
export function tokenChunk(): { bytes: Buffer; stampAt: number } {
  const bytes = Buffer.from(framed(delta(`@${"0".repeat(STAMP_DIGITS)} token`, null)), "latin1");
  return { bytes, stampAt: bytes.indexOf(STAMP_MARK) + 1 };
}

/** What follows the last token: the reason, `[DONE]`, and the end of the body. */
export const STREAM_TAIL = Buffer.from(
  `${framed(delta("", "stop"))}${framed("data: [DONE]\n\n")}0\r\n\r\n`,
  "latin1",
);

/** Writes whole microseconds over the digits of a stamp. */
export function writeStamp(bytes: Buffer, at: number, us: number): void {
  let rest = us;
  for (let i = at + STAMP_DIGITS - 1; i >= at; i--) {
    const next = Math.floor(rest / 10);
    bytes[i] = 48 + (rest - next * 10);
    rest = next;
  }
}

/** The stamp whose digits start at `at`; NaN if one of them is not a digit. */
export function readStamp(bytes: Buffer, at: number): number {
  let us = 0;
  for (let i = at; i < at + STAMP_DIGITS; i++) {
    const digit = (bytes[i] ?? 0) - 48;
    if (digit < 0 || digit > 9) return Number.NaN;
    us = us * 10 + digit;
  }
  return us;
}

export const METRICS = `# TYPE lmdeploy:gpu_cache_usage_perc gauge
lmdeploy:gpu_cache_usage_perc{engine="0",model_name="${MODEL}"} 0.25
# TYPE lmdeploy:num_requests_running gauge
lmdeploy:num_requests_running{engine="0",model_name="${MODEL}"} 3
# TYPE lmdeploy:num_requests_waiting gauge
lmdeploy:num_requests_waiting{engine="0",model_name="${MODEL}"} 0
`;
