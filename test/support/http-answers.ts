/** A strict reader of HTTP/1.1 answers: what it cannot read is not well-formed. */

export interface HttpAnswer {
  readonly status: number;
  /** Status line and headers as they came. */
  readonly head: string;
  readonly headers: Headers;
  /** Without the framing of chunks. */
  readonly body: string;
}

export interface Answers {
  /** Whole answers, informational ones too. */
  readonly answers: readonly HttpAnswer[];
  /** Bytes behind them: the beginning of another answer, or of nothing that is one. */
  readonly rest: Buffer;
}

const HEAD_END = "\r\n\r\n";
const STATUS_LINE = /^HTTP\/1\.1 [1-5]\d\d [ -~]*$/;
const HEADER = /^[-!#$%&'*+.^`|~\w]+: ?[\t -~\x80-\xff]*$/;
const CHUNK_SIZE = /^[\da-fA-F]{1,8}$/;

/**
 * Reads the answers at the beginning of `received`.
 * @param noBody The requests they answer were HEAD: no answer has a body.
 * @throws when they are not well-formed.
 */
export function readAnswers(received: Buffer, noBody = false): Answers {
  const answers: HttpAnswer[] = [];
  let rest = received;
  for (;;) {
    const taken = takeAnswer(rest, noBody);
    if (taken === null) return { answers, rest };
    answers.push(taken.answer);
    rest = taken.rest;
  }
}

function takeAnswer(bytes: Buffer, noBody: boolean): { answer: HttpAnswer; rest: Buffer } | null {
  const headEnd = bytes.indexOf(HEAD_END);
  if (headEnd < 0) return null;
  const head = bytes.toString("latin1", 0, headEnd);
  const [statusLine = "", ...lines] = head.split("\r\n");
  if (!STATUS_LINE.test(statusLine)) throw new Error(`no status line: ${statusLine}`);
  const status = Number(statusLine.slice(9, 12));
  const headers = new Headers();
  for (const line of lines) {
    if (!HEADER.test(line)) throw new Error(`no header: ${line}`);
    const colon = line.indexOf(":");
    headers.append(line.slice(0, colon), line.slice(colon + 1).trim());
  }
  const framed = bytes.subarray(headEnd + HEAD_END.length);
  const hasBody = !noBody && status >= 200 && status !== 204 && status !== 304;
  const taken = hasBody ? takeBody(framed, headers) : { body: framed.subarray(0, 0), rest: framed };
  if (taken === null) return null;
  const answer = { status, head, headers, body: taken.body.toString() };
  return { answer, rest: taken.rest };
}

function takeBody(framed: Buffer, headers: Headers): { body: Buffer; rest: Buffer } | null {
  const length = headers.get("content-length");
  if (headers.get("transfer-encoding") === "chunked") {
    if (length !== null) throw new Error("both Content-Length and Transfer-Encoding");
    return takeChunks(framed);
  }
  // Without either, what Bun's own refusals look like, there is nothing until the connection ends.
  if (length === null) return { body: framed, rest: framed.subarray(framed.length) };
  if (!/^\d+$/.test(length)) throw new Error(`no length: ${length}`);
  if (framed.length < Number(length)) return null;
  return { body: framed.subarray(0, Number(length)), rest: framed.subarray(Number(length)) };
}

function takeChunks(framed: Buffer): { body: Buffer; rest: Buffer } | null {
  const pieces: Buffer[] = [];
  for (let at = 0; ; ) {
    const lineEnd = framed.indexOf("\r\n", at);
    if (lineEnd < 0) return null;
    const line = framed.toString("latin1", at, lineEnd);
    if (!CHUNK_SIZE.test(line)) throw new Error(`no chunk size: ${line}`);
    const start = lineEnd + 2;
    const end = start + Number.parseInt(line, 16);
    if (framed.length < end + 2) return null;
    if (framed.toString("latin1", end, end + 2) !== "\r\n") throw new Error("chunk without end");
    if (end === start) return { body: Buffer.concat(pieces), rest: framed.subarray(end + 2) };
    pieces.push(framed.subarray(start, end));
    at = end + 2;
  }
}
