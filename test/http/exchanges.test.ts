/** Every request leaves one record, and that says how it went, whichever way it ends. */
import { afterAll, beforeAll, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import type { Exchange } from "../../src/core/exchange.ts";
import { infer } from "../../src/http/inference.ts";
import { Log } from "../../src/observe/log.ts";
import { assemble } from "../../src/proxy/assemble.ts";
import { parse } from "../config/parse.ts";
import { chunk, RAW_ANSWERS } from "../support/raw-answers.ts";
import { RawExchange, rawPost } from "../support/raw-client.ts";
import { httpAnswer, type RawStep, startRawServer } from "../support/raw-server.ts";
import { until } from "../support/until.ts";

setDefaultTimeout(60_000);
const PATH = "/v1/completions";
const route = { method: "POST", path: PATH, who: "client", detail: {} } as const;
const KEY = { headers: ["authorization: Bearer secret"] };

const LAST: RawStep = { send: "0\r\n\r\n" };
let steps: readonly RawStep[] = [];
const engine = startRawServer({ script: () => steps });
const flags = "--no-retry --queue-size 0 --max-concurrency-per-client 3 --max-body 1KiB";
const { config } = parse(`--node ${engine.url} --api-keys secret ${flags}`);
const listening = {
  port: () => server.port ?? 0,
  pendingRequests: () => server.pendingRequests,
  server: () => server,
  stateLocked: () => null,
  stateProblem: () => null,
};
const { services, tasks } = assemble(
  config,
  new Log({ level: "error", format: "json", sink: { write: () => {}, lost: 0 } }),
  listening,
);
const server: Bun.Server<undefined> = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  development: false,
  error: () => new Response(null, { status: 500 }),
  fetch: (request) => infer(request, route, services),
});
const ended: Exchange[] = [];

beforeAll(async () => {
  services.exchanges.subscribe((exchange) => ended.push(exchange));
  services.registry.membership.register(engine.url, {
    models: ["tiny"],
    role: "Hybrid",
    speed: null,
  });
  for (const task of tasks) task.start();
  await until("the engine is known", () => services.registry.nodes()[0]?.health.alive === true);
});
beforeEach(() => {
  ended.length = 0;
});
afterAll(async () => {
  for (const task of tasks) task.stop();
  engine.stop();
  await server.stop(true);
});

async function only(): Promise<Exchange> {
  await until("all have ended", () => services.exchanges.open.size === 0);
  const [exchange] = ended;
  if (exchange === undefined || ended.length > 1) throw new Error(`${ended.length} records`);
  return exchange;
}

function post(body: object = { model: "tiny" }): RawExchange {
  return rawPost(server.port ?? 0, PATH, body, KEY);
}

test("of a short answer", async () => {
  steps = [{ send: httpAnswer('{"a":1}') }];
  await post({ model: "tiny" }).ended;
  const exchange = await only();
  expect(exchange).toMatchObject({
    ...{ route: PATH, model: "tiny", stream: false, bytesIn: 16, bytesOut: 7, pieces: 1 },
    ...{ status: 200, ended: { how: "complete" } },
  });
  expect(exchange.client).not.toBeNull();
  expect(exchange.tries.map(({ node, outcome }) => [node.url, outcome?.kind])).toEqual([
    [engine.url, "answered"],
  ]);
  const { beganAtMs, admittedAtMs, firstByteAtMs, endedAtMs } = exchange;
  const times = [beganAtMs, admittedAtMs ?? 0, firstByteAtMs ?? 0, endedAtMs ?? 0];
  expect(times).toEqual(times.toSorted((a, b) => a - b));
});

test.each([
  ["an engine's refusal", [{ send: httpAnswer("no", [], "418 Teapot") }], 418, "complete"],
  ["an empty answer", [{ send: httpAnswer("") }], 200, "complete"],
  ["a stream that ends in an error", failedStream(), 200, "broken"],
  ["a broken stream", RAW_ANSWERS.resetBetweenEvents, 200, "broken"],
  ["no answer at all", RAW_ANSWERS.reset, 502, "refused"],
] as const)("of %s", async (_, script, status, how) => {
  steps = script;
  await post({ model: "tiny", stream: true }).ended;
  const exchange = await only();
  expect([exchange.status, exchange.ended?.how]).toEqual([status, how]);
  expect([exchange.stream, exchange.tries.length]).toEqual([true, 1]);
});

function failedStream(): RawStep[] {
  const [words] = RAW_ANSWERS.cutBetweenEvents;
  return [words, { send: chunk('data: {"error":{"code":500}}\n\ndata: [DONE]\n\n') }, LAST];
}

test.each([
  ["no key", "POST /v1/x HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}", "invalid_api_key"],
  ["no JSON", post400("}"), "invalid_request"],
  ["an unknown model", post400('{"model":"other"}'), "model_not_found"],
  ["a body that is too large", post400("x".repeat(2_000)), "request_too_large"],
] as const)("of a request with %s", async (_, text, error) => {
  const { status } = await new RawExchange(server.port ?? 0, text, false).ended;
  const exchange = await only();
  expect(exchange.ended).toEqual({ how: "refused", error });
  expect([exchange.status, exchange.tries.length]).toEqual([status, 0]);
});

function post400(body: string): string {
  const head = `POST ${PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer secret`;
  return `${head}\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
}

test("of one beyond its client's limit", async () => {
  steps = RAW_ANSWERS.silence;
  const before = engine.requests.length;
  const running = [post(), post(), post()];
  await until("they run", () => engine.requests.length === before + 3);
  expect((await post().ended).status).toBe(429);
  for (const exchange of running) exchange.leave();
  await until("all have ended", () => services.exchanges.open.size === 0);
  expect(ended.map((exchange) => exchange.ended)).toEqual([
    { how: "refused", error: "rate_limit_exceeded", reason: "client_limit" },
    ...[1, 2, 3].map(() => ({ how: "client_gone" as const })),
  ]);
});

test("of a client that leaves while its body comes, while the engine thinks, in the stream", async () => {
  const upload = new RawExchange(server.port ?? 0, post400('{"model":"tiny"}').slice(0, -4), false);
  await until("it comes", () => services.exchanges.open.size === 1);
  upload.leave();
  await until("it has ended", () => ended.length === 1);
  steps = RAW_ANSWERS.silence;
  const before = engine.requests.length;
  const silent = post();
  await until("the engine thinks", () => engine.requests.length === before + 1);
  silent.leave();
  await until("it has ended", () => ended.length === 2);
  steps = RAW_ANSWERS.cutBetweenEvents.slice(0, 1);
  const stream = post();
  await until("it streams", () => stream.receivedBytes > 0);
  stream.leave();
  await until("it has ended", () => ended.length === 3);
  expect(ended.map((exchange) => [exchange.ended?.how, exchange.tries.length])).toEqual([
    ["client_gone", 0],
    ["client_gone", 1],
    ["client_gone", 1],
  ]);
});

test("of a client that leaves before anybody listens to its connection", async () => {
  steps = RAW_ANSWERS.silence;
  const { registry } = services;
  const { promise: isSent, resolve } = Promise.withResolvers<void>();
  const unsubscribe = registry.subscribe({ leaseStarted: () => resolve() });
  const early = post();
  await isSent;
  early.leave();
  unsubscribe();
  await until("it has ended", () => ended.length === 1);
  expect(ended.map((exchange) => exchange.ended?.how)).toEqual(["client_gone"]);
  expect(registry.nodes().map(({ inFlight }) => inFlight)).toEqual([0]);
});
