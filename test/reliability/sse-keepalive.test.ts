/** `--sse-keepalive`: a stream that waits for its first word shows signs of life, and loses nothing by it. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { chunk } from "../support/raw-answers.ts";
import { type RawExchange, rawPost } from "../support/raw-client.ts";
import { httpAnswer, type RawStep, startRawServer } from "../support/raw-server.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);
const CHAT = "/v1/chat/completions";
const SSE_HEAD =
  "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const WORDS = 'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n';
const DONE = "data: [DONE]\n\n";
const STREAM = [{ send: SSE_HEAD + chunk(WORDS) }, { send: `${chunk(DONE)}0\r\n\r\n` }];
const PACKS = { headers: ["accept-encoding: gzip"] };
const COMMENT = ": keep-alive\n\n";

/** How the next requests go, whichever engine they reach; then nothing comes. */
const plan: (readonly RawStep[])[] = [];
const engines = [1, 2].map(() =>
  startRawServer({
    script: ({ method }) =>
      method === "GET" ? [{ send: httpAnswer("", [], "404 X") }] : (plan.shift() ?? []),
  }),
);
let proxy: ProxyProcess;

beforeAll(async () => {
  const flags = ["--sse-keepalive", "0.1", "--health-interval", "0.05"];
  proxy = await startProxy([...engines.flatMap(({ url }) => ["--node", url]), ...flags]);
  await untilHealthy(proxy, 2);
});
afterAll(async () => {
  await proxy.end("SIGKILL");
  for (const engine of engines) engine.stop();
});

let client: RawExchange;

/** So slowly that the client has had a sign of life before. */
const SLOWLY: RawStep = {
  hold: () => {
    const exchange = client;
    return until("its client has a comment", () => {
      return exchange.receivedBytes > 0 || exchange.answer().connection !== "open";
    });
  },
};

function post(path = CHAT, stream = true, port = proxy.port): RawExchange {
  client = rawPost(port, path, { model: "tiny", stream });
  return client;
}

/** The body without the comments before it, of which there has to be one. */
function afterComments(body: Buffer): string {
  const text = body.toString();
  expect(text).toStartWith(COMMENT);
  return text.replace(/^(?:: keep-alive\n\n)+/, "");
}

test("comments, then the engine's bytes", async () => {
  plan.push([SLOWLY, ...STREAM]);
  const answer = await post().ended;
  expect(answer).toMatchObject({ status: 200, complete: true });
  expect(answer.head).toMatch(/^content-type: text\/event-stream$/im);
  expect(answer.head).toMatch(/^x-request-id: /im);
  expect(afterComments(answer.body)).toBe(WORDS + DONE);
});

test("a stream that is quick, and an answer that is none, are left alone", async () => {
  const nodes = engines.flatMap(({ url }) => ["--node", url]);
  await using patient = await startProxy([...nodes, "--sse-keepalive", "20"]);
  await untilHealthy(patient, 2);
  plan.push(STREAM);
  expect((await post(CHAT, true, patient.port).ended).body.toString()).toBe(WORDS + DONE);
  // The other one may be asked, too.
  const refusal = { send: httpAnswer('{"a":1}', [], "400 X") };
  plan.push([{ waitMs: 300 }, refusal], [refusal]);
  expect(await post(CHAT, false).ended).toMatchObject({ status: 400, complete: true });
});

test("another engine still takes over", async () => {
  plan.splice(0, plan.length, [SLOWLY, { reset: true }], STREAM);
  const answer = await post().ended;
  expect(answer).toMatchObject({ status: 200, complete: true });
  expect(afterComments(answer.body)).toBe(WORDS + DONE);
  await untilHealthy(proxy, 1);
});

/** What one of them refuses may be tried on the other. */
function bothRefuse(body: string): void {
  const refusal = { send: httpAnswer(body, [], "400 X") };
  plan.splice(0, plan.length, [SLOWLY, refusal], [refusal]);
}

test("an engine's refusal is the last event, and the connection breaks", async () => {
  bothRefuse('{"error": {"message":\n"no"}}');
  const answer = await post().ended;
  expect(answer).toMatchObject({ status: 200, complete: false, connection: "reset" });
  expect(afterComments(answer.body)).toBe('data: {"error":{"message":"no"}}\n\n');
  bothRefuse('{"type":"error"}');
  const anthropic = await post("/v1/messages").ended;
  expect(afterComments(anthropic.body)).toBe('event: error\ndata: {"type":"error"}\n\n');
});

test("what the proxy has to say is the last event, too", async () => {
  bothRefuse("no JSON");
  const answer = await post().ended;
  expect(answer).toMatchObject({ complete: false, connection: "reset" });
  expect(afterComments(answer.body)).toStartWith(
    'data: {"error":{"message":"The engine answered 400',
  );
});

test("an answer that is no stream, and too long for an event, is no client that left", async () => {
  plan.length = 0;
  plan.push([SLOWLY, { send: httpAnswer("x".repeat(100_000)) }]);
  const id = "no-stream";
  client = rawPost(proxy.port, CHAT, { stream: true }, { headers: [`x-request-id: ${id}`] });
  expect(await client.ended).toMatchObject({ complete: false, connection: "reset" });
  const line = await until("it is logged", () => {
    return proxy
      .log()
      .split("\n")
      .find((each) => each.includes(`"id":"${id}"`));
  });
  expect(JSON.parse(line)).toMatchObject({ outcome: "broken", error: "upstream_error" });
});

test("a stream is asked for unpacked: what would follow the comments packed is told by a last event", async () => {
  const packed = SSE_HEAD.replace("\r\n\r\n", "\r\ncontent-encoding: gzip\r\n\r\n");
  plan.push([SLOWLY, { send: `${packed + chunk("\x1f\x8b packed")}0\r\n\r\n` }]);
  client = rawPost(proxy.port, CHAT, { model: "tiny", stream: true }, PACKS);
  const answer = await client.ended;
  expect(answer).toMatchObject({ complete: false, connection: "reset" });
  expect(afterComments(answer.body)).toStartWith(
    'data: {"error":{"message":"The engine answered 200 instead of a plain stream',
  );
  plan.push([{ send: httpAnswer('{"choices":[{}]}') }]);
  await rawPost(proxy.port, CHAT, { model: "tiny" }, PACKS).ended;
  const asked = engines.flatMap(({ requests }) => requests).map(({ head }) => head.toLowerCase());
  expect(asked.filter((head) => head.includes("accept-encoding: gzip"))).toHaveLength(1);
});

test("a client that leaves meanwhile frees its engine", async () => {
  const open = () => engines.reduce((sum, engine) => sum + engine.connections().open, 0);
  const before = engines.reduce((sum, engine) => sum + engine.requests.length, 0);
  const exchange = post();
  await until("it has a sign of life", () => exchange.receivedBytes > 0);
  exchange.leave();
  await until("nothing is in flight", async () =>
    Object.values(await proxy.status()).every(({ unfinished }) => unfinished === 0),
  );
  expect(engines.reduce((sum, engine) => sum + engine.requests.length, 0)).toBeGreaterThan(before);
  expect(open()).toBeLessThan(20);
});
