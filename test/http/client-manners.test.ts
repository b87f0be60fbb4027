/** Small things that clients rely on: ids on every answer, names for slips of the pen, what a broken stream says. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { gzipSync } from "node:zlib";
import OpenAI from "openai";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { type RawAnswer, rawPost } from "../support/raw-client.ts";
import { postText, sendRaw } from "../support/raw-http.ts";
import { httpAnswer, type RawServer, type RawStep, startRawServer } from "../support/raw-server.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

let engine: RawServer;
let proxy: ProxyProcess;
let steps: readonly RawStep[] = [];

beforeAll(async () => {
  engine = startRawServer({ script: ({ method }) => (method === "POST" ? steps : []) });
  proxy = await startProxy(["--node", engine.url]);
  await untilHealthy(proxy);
});

afterAll(async () => {
  await proxy.end("SIGKILL");
  engine.stop();
});

describe("every answer of ours carries the request's id:", () => {
  test.each([
    ["GET", "/health"],
    ["HEAD", "/ready"],
    ["GET", "/v1/models"],
    ["GET", "/v1/models/tiny"],
    ["GET", "/nodes/status"],
    ["GET", "/"],
    ["GET", "/docs"],
    ["GET", "/docs/style.css"],
    ["GET", "/openapi.json"],
    ["OPTIONS", "/health"],
    ["GET", "/nope"],
    ["PUT", "/health"],
    ["POST", "/nodes/add"],
  ])("%s %s", async (method, path) => {
    const headers = { "x-request-id": "mine-1" };
    const answer = await fetch(proxy.url + path, { method, headers, redirect: "manual" });
    expect(answer.headers.get("x-request-id")).toBe("mine-1");
    const other = await fetch(proxy.url + path, { method, redirect: "manual" });
    expect(other.headers.get("x-request-id")).toMatch(/^req-[\da-f]{24}$/);
  });
});

describe("a path that is nearly one of ours is answered with that name:", () => {
  test.each([
    ["/v1/chat/completion", "/v1/chat/completions"],
    ["/v1/chat-completions", "/v1/chat/completions"],
    ["/v1/v1/chat/completions", "/v1/chat/completions"],
    ["/v1/Embeddings", "/v1/embeddings"],
    ["/v1/embedding", "/v1/embeddings"],
    ["/v1//messages", "/v1/messages"],
    ["/chat/completions", "/v1/chat/completions"],
    ["/api/v1/responses", "/v1/responses"],
    ["/node/status", "/nodes/status"],
  ])("%s", async (path, expected) => {
    const before = engine.requests.filter(({ method }) => method === "POST").length;
    const { answers } = await sendRaw(proxy.port, postText(path, '{"model":"tiny"}'));
    expect(answers.map(({ status }) => status)).toEqual([404]);
    expect(Object(JSON.parse(answers[0]?.body ?? "")).error.message).toContain(
      `did you mean ${expected}?`,
    );
    expect(engine.requests.filter(({ method }) => method === "POST").length).toBe(before);
  });

  test("and one that is not is passed on", async () => {
    steps = [{ send: httpAnswer("{}") }];
    for (const path of ["/v1/decode", "/v1/tokenize", "/v1/reranking", "/v1/classify"]) {
      const { answers } = await sendRaw(proxy.port, postText(path, '{"model":"tiny"}'));
      expect([path, answers[0]?.status]).toEqual([path, 200]);
    }
  });
});

test("an empty model is none", async () => {
  steps = [{ send: httpAnswer("{}") }];
  const { answers } = await sendRaw(proxy.port, postText("/v1/completions", '{"model":""}'));
  expect(answers[0]?.status).toBe(200);
  const form = new FormData();
  form.append("model", "");
  const url = `${proxy.url}/v1/audio/transcriptions`;
  expect((await fetch(url, { method: "POST", body: form })).status).toBe(200);
});

test("a busy engine that does not say for how long: a client may try again after a second", async () => {
  for (const status of ["429 Too Many Requests", "503 Service Unavailable"]) {
    steps = [{ send: `HTTP/1.1 ${status}\r\ncontent-length: 2\r\n\r\n{}` }];
    const { answers } = await sendRaw(proxy.port, postText("/v1/completions", '{"model":"tiny"}'));
    expect(answers[0]?.headers.get("retry-after")).toBe("1");
  }
});

test("an engine's redirect for a trailing slash leads through the proxy again", async () => {
  const location = `location: ${engine.url}/v1/chat/completions?x=1`;
  steps = [{ send: `HTTP/1.1 307 Temporary Redirect\r\n${location}\r\ncontent-length: 0\r\n\r\n` }];
  const text = postText("/v1/chat/completions/?x=1", '{"model":"tiny"}');
  const { answers } = await sendRaw(proxy.port, text);
  expect(answers[0]?.status).toBe(307);
  expect(answers[0]?.headers.get("location")).toBe("/v1/chat/completions?x=1");
});

test("a redirect to HTTPS leads to the engine itself: to the proxy it would lead in circles", async () => {
  const to = `${engine.url.replace("http:", "https:")}/v1/completions`;
  const head = `HTTP/1.1 301 Moved Permanently\r\nlocation: ${to}\r\ncontent-length: 0\r\n\r\n`;
  steps = [{ send: head }];
  const { answers } = await sendRaw(proxy.port, postText("/v1/completions", '{"model":"tiny"}'));
  expect(answers[0]?.headers.get("location")).toBe(to);
});

function stream(headers: string, body: string | Uint8Array): readonly RawStep[] {
  const size = `${body.length.toString(16)}\r\n`;
  const head = `HTTP/1.1 200 OK\r\n${headers}\r\ntransfer-encoding: chunked\r\n\r\n${size}`;
  return [{ send: head }, { send: body }, { send: "\r\n" }, { waitMs: 250 }, { close: true }];
}

/** A break that arrives together with the first bytes comes before them: no stream has begun. */
async function begun(): Promise<RawAnswer> {
  for (;;) {
    const answer = await rawPost(proxy.port, "/v1/completions", { model: "tiny" }).ended;
    if (answer.status !== 502) return answer;
  }
}

test("no text is written into a compressed stream that breaks", async () => {
  const packed = gzipSync("data: 1\n\n");
  // As if an event had just ended.
  const body = Buffer.concat([packed, Buffer.from("\n\n")]);
  for (const coding of ["gzip", "GZIP"]) {
    steps = stream(`content-type: text/event-stream\r\ncontent-encoding: ${coding}`, body);
    const answer = await begun();
    expect(answer.complete).toBe(false);
    expect(answer.body.toString()).not.toContain("error");
  }
});

test("an event stream is one in whatever case its type is written", async () => {
  steps = stream("content-type: Text/Event-Stream; charset=UTF-8", "data: 1\n\n");
  const answer = await begun();
  expect(answer.complete).toBe(false);
  expect(answer.body.toString()).toContain('"code":"upstream_error"');
});

test("OpenAI's client throws what a broken stream of the Responses API says, whose number goes on", async () => {
  const created = {
    type: "response.created",
    sequence_number: 0,
    response: { id: "resp_1", object: "response", status: "in_progress", output: [] },
  };
  const item = { type: "message", id: "msg_1", role: "assistant", status: "in_progress" };
  const content_part = { type: "output_text", text: "", annotations: [] };
  const place = { item_id: "msg_1", output_index: 0, content_index: 0 };
  const text = [
    created,
    {
      type: "response.output_item.added",
      sequence_number: 1,
      output_index: 0,
      item: { ...item, content: [] },
    },
    { type: "response.content_part.added", sequence_number: 2, ...place, part: content_part },
    { type: "response.output_text.delta", sequence_number: 3, ...place, delta: "Hi" },
  ]
    .map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`)
    .join("");
  // Tries again when no stream has begun.
  const client = new OpenAI({ baseURL: `${proxy.url}/v1`, apiKey: "any", maxRetries: 5 });
  steps = stream("content-type: text/event-stream", text);
  const raw = await client.responses.create({ model: "tiny", input: "x", stream: true });
  const seen: string[] = [];
  const read = async () => {
    for await (const { type } of raw) seen.push(type);
  };
  const error = await read().catch((thrown: unknown) => thrown);
  if (!(error instanceof OpenAI.APIError)) throw new Error("no API error");
  expect(seen).toEqual([
    "response.created",
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
  ]);
  expect(error.error).toMatchObject({ type: "error", code: "upstream_error", sequence_number: 4 });
  const helped = await client.responses
    .stream({ model: "tiny", input: "x" })
    .finalResponse()
    .catch((error: unknown) => error);
  expect(String(helped)).toContain("The answer broke off: the engine's connection was lost.");
});
