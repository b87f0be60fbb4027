/** An engine that takes nothing but whole, plain HTTP/1.1 requests, and tells what else it was sent. */
import type { Socket } from "bun";
import { httpAnswer } from "../support/raw-server.ts";

export interface StrictEngine extends Disposable {
  readonly url: string;
  /** Inference requests so far. */
  requests(): number;
  /** What was no request that an engine should get, the first few. */
  readonly violations: readonly string[];
}

const HEAD_END = "\r\n\r\n";
const REQUEST_LINE = /^(GET|POST) (\/[!-~]*) HTTP\/1\.1$/;
/** With DEL, which is none of RFC 9110's characters: Bun 1.4.5 takes it, and it can end nothing. */
const HEADER = /^[-!#$%&'*+.^`|~\w]+: ?[\t -\xff]*$/;
const MAX_VIOLATIONS = 20;

const CHUNKS = '5\r\ndata:\r\n9\r\n {"a":1}\n\r\n1\r\n\n\r\n0\r\n\r\n';
const STREAM = `HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n${CHUNKS}`;
const QUESTIONS: Readonly<Record<string, string>> = {
  "/health": httpAnswer('{"status":"healthy"}'),
  "/v1/models": httpAnswer('{"data":[{"id":"tiny"}]}'),
  "/metrics": httpAnswer(""),
};

export function startStrictEngine(): StrictEngine {
  const violations: string[] = [];
  let requests = 0;
  const complain = (what: string, bytes: Buffer) => {
    if (violations.length < MAX_VIOLATIONS) {
      violations.push(`${what}: ${JSON.stringify(bytes.toString("latin1", 0, 500))}`);
    }
  };

  /** Answers the whole request at the beginning of `bytes`; returns what follows, or null when it is not whole. */
  const take = (socket: Socket<{ received: Buffer }>, bytes: Buffer): Buffer | null => {
    const headEnd = bytes.indexOf(HEAD_END);
    if (headEnd < 0) return null;
    const [line = "", ...headers] = bytes.toString("latin1", 0, headEnd).split("\r\n");
    const [, method = "", target = ""] = REQUEST_LINE.exec(line) ?? [];
    const lengths = headers.filter((header) => /^content-length:/i.test(header));
    const length = Number(/^content-length: ?(\d+)$/i.exec(lengths[0] ?? "")?.[1] ?? 0);
    const end = headEnd + HEAD_END.length + length;
    if (bytes.length < end) return null;
    const body = bytes.subarray(headEnd + HEAD_END.length, end);
    const question = QUESTIONS[target];
    if (method === "GET" && question !== undefined) {
      socket.write(question);
      return bytes.subarray(end);
    }
    requests += 1;
    if (!headers.every((header) => HEADER.test(header))) complain("a malformed header", bytes);
    if (lengths.length !== 1) complain("not one length", bytes);
    if (headers.some((header) => /^transfer-encoding:/i.test(header))) complain("a coding", bytes);
    if (headers.filter((header) => /^host:/i.test(header)).length !== 1)
      complain("not one host", bytes);
    // What an administrator has the proxy ask of all engines is nobody's request, and has no id.
    const isForwarded = headers.some((header) => /^x-request-id:/i.test(header));
    const isMine = isForwarded || !/^\/v1\/(?:un)?load_lora_adapter$/.test(target);
    if (method !== "POST" || (isMine && !isInference(target))) complain("no inference", bytes);
    if (isMine && !isWhole(body, headers)) complain("no whole body", bytes);
    socket.write(requests % 2 === 0 ? httpAnswer('{"ok":1}') : STREAM);
    return bytes.subarray(end);
  };

  const listener = Bun.listen<{ received: Buffer }>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        socket.data = { received: Buffer.alloc(0) };
      },
      data(socket, piece) {
        let rest: Buffer | null = Buffer.concat([socket.data.received, piece]);
        while (rest !== null && rest.length > 0) {
          socket.data.received = rest;
          rest = take(socket, rest);
        }
        if (rest !== null) socket.data.received = rest;
      },
      close() {},
      error() {},
    },
  });
  return {
    url: `http://127.0.0.1:${listener.port}`,
    requests: () => requests,
    violations,
    [Symbol.dispose]: () => listener.stop(true),
  };
}

/** As a careless engine reads paths: decoded, then resolved. */
function isInference(target: string): boolean {
  const [path = ""] = target.split("?");
  const decoded = decodeURIComponent(path).replace(/[\\/]+/g, "/");
  const { pathname } = new URL(decoded.replace(/[?#]/g, "_"), "http://engine");
  return (
    /^\/(?:v1\/.|generate|pooling|get_ppl|rerank|score|tokenize|detokenize)/.test(pathname) &&
    !/^\/v1\/(?:sleep|load_lora_adapter)(?![\w-])/i.test(pathname)
  );
}

/** A JSON object as far as the proxy has to look at it, or what a multipart body ends with. */
function isWhole(body: Buffer, headers: readonly string[]): boolean {
  const text = body
    .toString("latin1")
    .replace(/^\xef\xbb\xbf/, "")
    .trim();
  const isForm = headers.some((header) => /^content-type: ?multipart\/form-data/i.test(header));
  return isForm || (text.startsWith("{") && text.endsWith("}"));
}
