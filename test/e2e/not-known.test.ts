/** What is not known yet is not absent: which models there are, and what to do when an engine will not say. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { startEngine } from "../../src/sim/server/api-server.ts";
import { freePort } from "../support/free-port.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { httpAnswer, type RawStep, startRawServer } from "../support/raw-server.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

type Probes = Record<string, readonly RawStep[]>;

function cards(...data: readonly object[]): readonly RawStep[] {
  return [{ send: httpAnswer(JSON.stringify({ object: "list", data })) }];
}

function list(...ids: readonly string[]): readonly RawStep[] {
  return cards(...ids.map((id) => ({ id, object: "model" })));
}

/** An engine whose `/v1/models` is what `probes` says just now; `says` answers a request's body. */
function startListing(
  models: readonly RawStep[],
  says: (body: string) => string = () => httpAnswer('{"choices":[{}]}'),
  port = 0,
) {
  const probes: Probes = {
    "/v1/models": models,
    "/metrics": [{ send: httpAnswer("") }],
  };
  const engine = startRawServer({
    port,
    probes,
    script: ({ body }) => [{ send: says(Buffer.from(body).toString()) }],
  });
  const { url, requests } = engine;
  return { url, port: engine.port, requests, probes, [Symbol.dispose]: () => engine.stop() };
}

function chat(proxy: ProxyProcess, body: object): Promise<Response> {
  const path = `${proxy.url}/v1/chat/completions`;
  const headers = { "content-type": "application/json" };
  return fetch(path, { method: "POST", body: JSON.stringify(body), headers });
}

async function answered(proxy: ProxyProcess, model: string) {
  const answer = await chat(proxy, { model });
  await answer.bytes();
  return [answer.status, answer.headers.get("retry-after")] as const;
}

async function listed(proxy: ProxyProcess, url: string, ...models: readonly string[]) {
  await until(`${url} serves ${models.join()}`, async () => {
    const status = (await proxy.status())[url];
    return status?.models.toSorted().join() === models.toSorted().join();
  });
}

test.concurrent("a request in the moment the port opens waits for what the engines say", async () => {
  const engine = await startEngine({ models: ["m"], timeScale: 0 });
  for (let start = 0; start < 3; start += 1) {
    await using proxy = await startProxy(["--node", engine.url]);
    const body = { model: "m", messages: [{ role: "user", content: "hi" }], max_tokens: 1 };
    expect((await chat(proxy, body)).status).toBe(200);
  }
  await engine.stop(true);
});

test.concurrent("without a node, or with one that has not said anything, a model is 503, not 404", async () => {
  await using none = await startProxy();
  expect(await answered(none, "m")).toEqual([503, "1"]);
  await using down = await startProxy(["--node", "http://127.0.0.1:9"]);
  expect(await answered(down, "m")).toEqual([503, "1"]);
  expect((await fetch(`${down.url}/v1/models/m`)).status).toBe(503);
});

describe.concurrent("an engine that does not show its list", () => {
  test.each([
    ["wants a key", 401, "Unauthorized", "--upstream-api-key"],
    ["has none", 404, "Not Found", "register the node with its models"],
    ["leads elsewhere", 307, "Temporary Redirect", "a redirect"],
    ["fails", 500, "Internal Server Error", "answered 500"],
  ])(
    "%s: said in the log and in the status, and the model is 503",
    async (_, status, text, advice) => {
      const steps = [{ send: `HTTP/1.1 ${status} ${text}\r\ncontent-length: 0\r\n\r\n` }];
      using engine = startListing(steps);
      using other = startListing(list("known"));
      await using proxy = await startProxy(["--node", engine.url, "--node", other.url]);
      await listed(proxy, other.url, "known");
      expect(await answered(proxy, "m")).toEqual([503, "1"]);
      expect((await proxy.status())[engine.url]?.last_error).toContain(advice);
      await until("it is logged", () => proxy.log().includes("models of the node not known"));
      expect(proxy.log()).toContain(advice);
      expect(await answered(proxy, "known")).toEqual([200, null]);
    },
  );

  test("and hangs holds up neither others' requests nor, once it was read, a 404", async () => {
    using engine = startListing(list("a"));
    using other = startListing(list("b"));
    const flags = ["--node", engine.url, "--node", other.url, "--health-timeout", "60"];
    await using proxy = await startProxy(flags);
    await Promise.all([listed(proxy, engine.url, "a"), listed(proxy, other.url, "b")]);
    // Long after a test would have failed for its own time limit.
    engine.probes["/v1/models"] = [{ waitMs: 60_000 }];
    expect(await answered(proxy, "none")).toEqual([404, null]);
    other.probes["/v1/models"] = list("b", "adapter");
    await until("the adapter is found", async () => (await answered(proxy, "adapter"))[0] === 200);
  });
});

test.concurrent("an address that another model's engine took over serves nothing of the old one", async () => {
  const first = startListing(list("old"), undefined, freePort());
  await using proxy = await startProxy(["--health-interval", "0.05"]);
  const registered = await fetch(`${proxy.url}/nodes/add`, {
    method: "POST",
    body: JSON.stringify({ url: first.url, status: { models: ["old"] } }),
  });
  expect(registered.status).toBe(200);
  await untilHealthy(proxy);
  expect((await answered(proxy, "old"))[0]).toBe(200);
  first[Symbol.dispose]();
  // A lost connection alone does not tell that another process is there.
  await until("nobody listens there", async () =>
    Object.values(await proxy.status())[0]?.last_error?.includes("ECONNREFUSED"),
  );
  using second = startListing(list("new"), undefined, first.port);
  await listed(proxy, second.url, "new");
  expect(await answered(proxy, "old")).toEqual([404, null]);
  expect((await answered(proxy, "new"))[0]).toBe(200);
});

test.concurrent("an adapter that one node has unloaded is asked for at the others", async () => {
  const unknown = "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}";
  let isLoaded = true;
  using first = startListing(list("base", "adapter"), () =>
    isLoaded ? httpAnswer('{"choices":[{}]}') : unknown,
  );
  using second = startListing(list("base", "adapter"));
  await using proxy = await startProxy(["--node", first.url, "--node", second.url]);
  const both = [first.url, second.url];
  await Promise.all(both.map((url) => listed(proxy, url, "base", "adapter")));
  await untilHealthy(proxy);
  isLoaded = false;
  first.probes["/v1/models"] = list("base");
  for (let i = 0; i < 20; i += 1) expect((await answered(proxy, "adapter"))[0]).toBe(200);
  expect(first.requests.filter(({ method }) => method === "POST").length).toBeGreaterThan(0);
  await listed(proxy, first.url, "base");
});

test.concurrent("nothing is tried elsewhere for a client that leaves while a node is asked what it has unloaded", async () => {
  const unknown = "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}";
  let isLoaded = true;
  const says = () => (isLoaded ? httpAnswer('{"choices":[{}]}') : unknown);
  using first = startListing(list("base", "adapter"), says);
  using second = startListing(list("base", "adapter"), says);
  await using proxy = await startProxy(["--node", first.url, "--node", second.url]);
  const both = [first, second];
  await Promise.all(both.map(({ url }) => listed(proxy, url, "base", "adapter")));
  await untilHealthy(proxy);
  isLoaded = false;
  for (const { probes } of both) probes["/v1/models"] = [{ waitMs: 500 }, ...list("base")];
  const leaving = new AbortController();
  const left = fetch(`${proxy.url}/v1/chat/completions`, {
    method: "POST",
    body: JSON.stringify({ model: "adapter" }),
    headers: { "content-type": "application/json" },
    signal: leaving.signal,
  }).catch(() => null);
  const asked = await until("one has been asked", () =>
    both.find(({ requests }) => requests.some(({ method }) => method === "POST")),
  );
  leaving.abort();
  await left;
  await until("the log has it", () => proxy.log().includes('"outcome":"cancelled"'));
  await listed(proxy, asked.url, "base");
  const page = await (await fetch(`${proxy.url}/metrics`)).text();
  const attempts = [...page.matchAll(/^lmproxy_node_requests_total\{.*\} (\d+)$/gm)];
  expect(attempts.reduce((sum, [, count]) => sum + Number(count), 0)).toBe(1);
});

test.concurrent("a model's card passes as the engine gave it, with the shortest context of all", async () => {
  const base = {
    object: "model",
    created: 1_700_000_000,
    owned_by: "vllm",
    root: "/w",
    parent: null,
  };
  const adapter = { id: "lora", object: "model", owned_by: "vllm", root: "/lora", parent: "m" };
  using first = startListing(cards({ id: "m", ...base, max_model_len: 8_192 }, adapter));
  using second = startListing(cards({ id: "m", ...base, max_model_len: 4_096 }, adapter));
  await using proxy = await startProxy(["--node", first.url, "--node", second.url]);
  await Promise.all([first.url, second.url].map((url) => listed(proxy, url, "m", "lora")));
  const all = Object(await (await fetch(`${proxy.url}/v1/models`)).json());
  expect(all.data).toEqual([
    { id: "m", permission: [], ...base, max_model_len: 4_096 },
    { permission: [], ...adapter, created: expect.any(Number) },
  ]);
  const one = await (await fetch(`${proxy.url}/v1/models/m`)).json();
  expect(one).toEqual(all.data[0]);
  const headers = { "anthropic-version": "2023-06-01" };
  const anthropic = Object(await (await fetch(`${proxy.url}/v1/models/m`, { headers })).json());
  expect(anthropic.created_at).toBe("2023-11-14T22:13:20.000Z");
});

describe.concurrent("a body without a model", () => {
  const root = { object: "model", root: "/weights" };
  test.each([
    [
      "aliases and adapters are no doubt",
      [
        { id: "a", ...root },
        { id: "b", ...root },
        { id: "c", parent: "a" },
      ],
      [{ id: "a", ...root }],
      200,
    ],
    ["other models are", [{ id: "a" }], [{ id: "b" }], 400],
  ])("%s", async (_, one, two, status) => {
    using first = startListing(cards(...one));
    using second = startListing(cards(...two));
    await using proxy = await startProxy(["--node", first.url, "--node", second.url]);
    const ids = (models: readonly { readonly id: string }[]) => models.map(({ id }) => id);
    await Promise.all([
      listed(proxy, first.url, ...ids(one)),
      listed(proxy, second.url, ...ids(two)),
    ]);
    expect((await chat(proxy, {})).status).toBe(status);
  });
});

test.concurrent("SGLang's adapters are asked for as served:adapter", async () => {
  using engine = startListing(list("served", "own"));
  engine.probes["/metrics"] = [
    { send: httpAnswer("sglang:token_usage 0.1\nsglang:num_running_reqs 0\n") },
  ];
  const flags = ["--model-alias", "gpt=served", "own=served"];
  await using proxy = await startProxy(["--node", engine.url, ...flags]);
  await listed(proxy, engine.url, "served", "own");
  await until(
    "it is known for one",
    async () => (await proxy.status())[engine.url]?.engine === "sglang",
  );
  expect((await answered(proxy, "own:adapter"))[0]).toBe(200);
  expect((await answered(proxy, "gpt:adapter"))[0]).toBe(200);
  const posts = engine.requests.filter(({ method }) => method === "POST");
  const models = posts.map(({ body }) => JSON.parse(new TextDecoder().decode(body)).model);
  expect(models).toEqual(["own:adapter", "served:adapter"]);
  expect((await answered(proxy, "other:adapter"))[0]).toBe(404);
});

test.concurrent("an adapter that SGLang lists is asked for where it is listed", async () => {
  using without = startListing(list("served"));
  using other = startListing(cards({ id: "served" }, { id: "adapter", parent: "served" }));
  for (const { probes } of [without, other]) {
    probes["/metrics"] = [{ send: httpAnswer("sglang:token_usage 0.1\n") }];
  }
  const flags = ["--node", without.url, other.url, "--strategy", "round_robin"];
  await using proxy = await startProxy(flags);
  await listed(proxy, without.url, "served");
  await listed(proxy, other.url, "served", "adapter");
  await until("both are known for one", async () =>
    Object.values(await proxy.status()).every(({ engine }) => engine === "sglang"),
  );
  for (let i = 0; i < 4; i += 1) expect((await answered(proxy, "served:adapter"))[0]).toBe(200);
  const posts = (engine: typeof other) =>
    engine.requests.filter(({ method }) => method === "POST").length;
  expect([posts(without), posts(other)]).toEqual([0, 4]);
});

test.concurrent("/metrics behind a slash is read, and --health-path may answer at length", async () => {
  using engine = startListing(
    list(...Array.from({ length: 3_000 }, (_, i) => `a-rather-long-name-${i}`)),
  );
  const elsewhere =
    "HTTP/1.1 307 Temporary Redirect\r\nlocation: /metrics/\r\ncontent-length: 0\r\n\r\n";
  engine.probes["/metrics"] = [{ send: elsewhere }];
  engine.probes["/metrics/"] = [{ send: httpAnswer("vllm:kv_cache_usage_perc 0.25\n") }];
  await using proxy = await startProxy(["--node", engine.url, "--health-path", "/v1/models"]);
  await untilHealthy(proxy);
  await until(
    "its usage is known",
    async () => (await proxy.status())[engine.url]?.cache_usage === 0.25,
  );
});
