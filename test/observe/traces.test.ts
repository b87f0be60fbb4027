/** Traces over a real collector: what is continued, passed on and sent; and one that is not there. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Collector, startCollector } from "../support/collector.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

const USAGE = {
  prompt_tokens: 70,
  completion_tokens: 9,
  prompt_tokens_details: { cached_tokens: 64 },
};

/** An engine that keeps the headers it gets, and answers 503 to whoever wants that. */
function startEngine(isBusy: boolean) {
  const asked: Headers[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    routes: { "/v1/models": Response.json({ object: "list", data: [{ id: "m" }] }) },
    fetch(request) {
      if (request.method === "GET") return new Response();
      asked.push(request.headers);
      if (isBusy) return new Response(null, { status: 503 });
      return Response.json({ id: "x", choices: [{ message: { content: "hi" } }], usage: USAGE });
    },
  });
  return { url: server.url.origin, asked, stop: () => server.stop(true) };
}

const engine = startEngine(false);
const busy = startEngine(true);
let collector: Collector;
let proxy: ProxyProcess;

function start(env: Readonly<Record<string, string>>): Promise<ProxyProcess> {
  const nodes = ["--node", engine.url, "--node", busy.url];
  const flags = ["--strategy", "round_robin", "--metrics-interval", "60"];
  return startProxy([...nodes, ...flags], {
    env: { OTEL_EXPORTER_OTLP_PROTOCOL: "http/json", OTEL_BSP_SCHEDULE_DELAY: "20", ...env },
  });
}

beforeAll(async () => {
  collector = startCollector();
  proxy = await start({
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_EXPORTER_OTLP_HEADERS: "x-tenant=a%20b",
    OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=test",
    OTEL_TRACES_SAMPLER_ARG: "0.5",
    OTEL_METRICS_EXPORTER: "otlp",
  });
  await untilHealthy(proxy, 2);
});

afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await collector[Symbol.asyncDispose]();
  await Promise.all([engine.stop(), busy.stop()]);
});

function ask(to: ProxyProcess, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
  return fetch(`${to.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({ model: "m", messages: [{ role: "user", content: "hi" }] }),
  });
}

const traceOf = (n: number) => `0af7651916cd43dd8448eb211c8031${n.toString(16).padStart(2, "0")}`;
const parentOf = (n: number, flags = "01") => `00-${traceOf(n)}-b7ad6b7169203331-${flags}`;

test("a client's trace goes on: a span for the request, one for each attempt, which its engine continues", async () => {
  const tracestate = "vendor=opaque";
  // One of them meets the busy engine first, the other one does if by then that is no longer passed over.
  for (const n of [1, 2]) {
    expect((await ask(proxy, { traceparent: parentOf(n), tracestate })).status).toBe(200);
  }
  const spans = () => [...collector.of(traceOf(1)), ...collector.of(traceOf(2))];
  const tries = engine.asked.length + busy.asked.length;
  await until("all spans have come", async () => spans().length === 2 + tries);
  const servers = spans().filter(({ kind }) => kind === 2);
  expect(servers.map(({ name, parentSpanId, isError }) => [name, parentSpanId, isError])).toEqual([
    ["POST /v1/chat/completions", "b7ad6b7169203331", false],
    ["POST /v1/chat/completions", "b7ad6b7169203331", false],
  ]);
  for (const { attributes, resource, events, traceId } of servers) {
    expect(attributes).toMatchObject({
      "http.request.method": "POST",
      "http.route": "/v1/chat/completions",
      "http.response.status_code": 200,
      "gen_ai.request.model": "m",
      "lmproxy.outcome": "answered",
    });
    expect(resource).toMatchObject({
      "service.name": "lmproxy",
      "deployment.environment.name": "test",
    });
    const attempts = spans().filter((span) => span.traceId === traceId && span.kind === 3);
    expect(events).toEqual([
      "lmproxy.body_read",
      "lmproxy.admitted",
      ...attempts.map(() => "lmproxy.node_chosen"),
      "lmproxy.first_byte",
    ]);
  }
  const attempts = spans().filter(({ kind }) => kind === 3);
  const good = attempts.filter(({ isError }) => !isError);
  expect(good).toHaveLength(2);
  for (const { name, attributes, tookMs, traceId, parentSpanId } of good) {
    expect(name).toBe("chat m");
    expect(attributes).toMatchObject({
      "gen_ai.operation.name": "chat",
      "gen_ai.provider.name": "unknown",
      "gen_ai.request.model": "m",
      "gen_ai.request.stream": false,
      "gen_ai.usage.input_tokens": 70,
      "gen_ai.usage.output_tokens": 9,
      "gen_ai.usage.cache_read.input_tokens": 64,
      "server.address": "127.0.0.1",
      "server.port": Number(new URL(engine.url).port),
      "http.response.status_code": 200,
    });
    expect(tookMs).toBeGreaterThan(0);
    expect(parentSpanId).toBe(servers.find((one) => one.traceId === traceId)?.spanId ?? "");
  }
  const failed = attempts.filter(({ isError }) => isError);
  expect(busy.asked.length).toBeGreaterThan(0);
  expect(failed.map(({ attributes }) => attributes["error.type"])).toEqual(
    busy.asked.map(() => "503"),
  );
  // Each engine was told of the span that stands for its attempt.
  const told = (headers: Headers[]) => headers.map((one) => one.get("traceparent")).sort();
  const of = (list: typeof spans) => list().map((one) => `00-${one.traceId}-${one.spanId}-01`);
  expect(told(engine.asked)).toEqual(of(() => good).sort());
  expect(told(busy.asked)).toEqual(of(() => failed).sort());
  expect(engine.asked.map((one) => one.get("tracestate"))).toEqual([tracestate, tracestate]);
  expect(collector.requests[0]?.path).toBe("/v1/traces");
  expect(collector.requests[0]?.headers.get("x-tenant")).toBe("a b");
});

test("a request without a trace begins one, which its line names; what its client calls a state is of another", async () => {
  for (const traceparent of ["", `00-${"0".repeat(32)}-b7ad6b7169203331-01`, "nonsense"]) {
    engine.asked.length = 0;
    await ask(proxy, { "x-request-id": "begins", tracestate: "of=another", traceparent });
    const [, traceId = "", spanId] = engine.asked[0]?.get("traceparent")?.split("-") ?? [];
    expect(engine.asked[0]?.get("tracestate")).toBeNull();
    const root = () => collector.of(traceId).find(({ kind }) => kind === 2);
    await until("its spans have come", async () => root() !== undefined);
    expect(root()?.parentSpanId).toBeNull();
    expect(collector.of(traceId).map((span) => span.spanId)).toContain(spanId ?? "");
    const line = () => lines(proxy, "begins").find(({ trace_id }) => trace_id === traceId);
    await until("its line is there", async () => line() !== undefined);
    expect(line()?.span_id).toBe(root()?.spanId);
  }
});

test("what a client does not record is not recorded here, and passed on all the same", async () => {
  engine.asked.length = 0;
  await ask(proxy, { traceparent: parentOf(3, "00") });
  await ask(proxy, { traceparent: parentOf(4) });
  await until("the one after has come", async () => collector.of(traceOf(4)).length >= 2);
  expect(collector.of(traceOf(3))).toEqual([]);
  expect(engine.asked[0]?.get("traceparent")).toMatch(RegExp(`^00-${traceOf(3)}-[0-9a-f]{16}-00$`));
});

test("requests that the proxy refuses are in it too", async () => {
  const headers = { traceparent: parentOf(5) };
  await fetch(`${proxy.url}/v1/chat/completions`, { method: "POST", headers, body: "{}x" });
  await until("its span has come", async () => collector.of(traceOf(5)).length === 1);
  expect(collector.of(traceOf(5))[0]?.attributes).toMatchObject({
    "http.response.status_code": 400,
    "lmproxy.outcome": "rejected",
  });
});

test("variables that cannot act are said, by name", async () => {
  await until("they are said", async () => proxy.log().includes("OTEL_METRICS_EXPORTER"));
  const another = "OTEL_TRACES_SAMPLER_ARG has no effect on the sampler";
  await until("all of them are", () => proxy.log().includes(another));
  expect(proxy.log()).not.toContain("tenant");
});

describe("a collector that", () => {
  test.each([
    ["is not there", () => new Response(), "refused", "ECONNREFUSED"],
    ["never answers", () => new Promise<Response>(() => {}), "hangs", ""],
    ["wants a key", () => new Response(null, { status: 401 }), "refuses", "it answered 401"],
  ])("%s costs no request, and is said once", async (_, answer, how, reason) => {
    await using server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: answer });
    const { origin } = server.url;
    if (how === "refused") await server.stop(true);
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: origin, OTEL_EXPORTER_OTLP_TIMEOUT: "200" };
    const limits = { OTEL_BSP_MAX_QUEUE_SIZE: "40", OTEL_BSP_EXPORT_TIMEOUT: "300" };
    await using lone = await start({ ...env, ...limits });
    await untilHealthy(lone, 2);
    for (let i = 0; i < 10; i += 1) {
      const answers = await Promise.all(Array.from({ length: 20 }, () => ask(lone)));
      expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(200));
    }
    const said = () => lone.log().match(/the collector takes no traces/g)?.length ?? 0;
    await until("it is said", async () => said() > 0);
    expect(said()).toBe(1);
    expect(lone.log()).toMatch(new RegExp(`takes no traces","reason":"[^"]*${reason}`));
    expect(await lone.end()).toBe(0);
  });
});

test("where nothing is traced, headers pass as they are, and lines still name the trace", async () => {
  await using plain = await start({ OTEL_SDK_DISABLED: "true" });
  await untilHealthy(plain, 2);
  engine.asked.length = 0;
  await ask(plain, { traceparent: parentOf(6), tracestate: "a=b", "x-request-id": "plain" });
  await ask(plain, { "x-request-id": "none" });
  expect(engine.asked.map((one) => one.get("traceparent"))).toEqual([parentOf(6), null]);
  expect(engine.asked[0]?.get("tracestate")).toBe("a=b");
  await until("both lines are there", async () => lines(plain, "none").length === 1);
  expect(lines(plain, "plain")).toMatchObject([{ trace_id: traceOf(6) }]);
  expect(lines(plain, "none")[0]).not.toHaveProperty("trace_id");
});

function lines({ log }: ProxyProcess, id: string): Record<string, unknown>[] {
  const all = log().split("\n");
  return all.filter((line) => line.includes(`"id":"${id}"`)).map((line) => JSON.parse(line));
}
