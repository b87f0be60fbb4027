/** Responses with state: OpenAI's client, a proxy, and simulated engines of which each keeps its own. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import OpenAI from "openai";
import { startEngine } from "../../src/sim/server/api-server.ts";
import type { RunningEngine } from "../../src/sim/server/engine-options.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { startRecordingNode } from "../support/recording-node.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

let engines: RunningEngine[];
let proxy: ProxyProcess;
/** Knows of no response: as the first after a restart. */
let other: ProxyProcess;
let client: OpenAI;

function clientOf({ url }: { readonly url: string }): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: "any", maxRetries: 0 });
}

beforeAll(async () => {
  engines = await Promise.all(
    Array.from({ length: 3 }, (_, seed) =>
      startEngine({ models: ["m"], kind: "vllm", timeScale: 0, seed }),
    ),
  );
  const flags = ["--strategy", "round_robin", ...engines.flatMap(({ url }) => ["--node", url])];
  [proxy, other] = await Promise.all([startProxy(flags), startProxy(flags)]);
  await Promise.all([untilHealthy(proxy, 3), untilHealthy(other, 3)]);
  client = clientOf(proxy);
});

afterAll(async () => {
  await Promise.all([proxy.end("SIGKILL"), other.end("SIGKILL")]);
  await Promise.all(engines.map((engine) => engine.stop(true)));
});

/** At which engines it is, asked without a proxy. */
async function keepersOf(id: string): Promise<number[]> {
  const answers = await Promise.all(engines.map(({ url }) => fetch(`${url}/v1/responses/${id}`)));
  return answers.flatMap(({ status }, at) => (status === 200 ? [at] : []));
}

/** The SDK's promises are made when they are awaited. */
async function refusal(asked: PromiseLike<unknown>): Promise<string> {
  try {
    await asked;
    return "none";
  } catch (error) {
    return String(error);
  }
}

async function made(body: object = {}): Promise<string> {
  const { id } = await client.responses.create({ model: "m", input: "hi", ...body });
  return id;
}

test("a response is got, listed, cancelled and deleted where it is", async () => {
  const ids = await Promise.all(Array.from({ length: 6 }, () => made()));
  const homes = await Promise.all(ids.map(keepersOf));
  expect(new Set(homes.flat()).size).toBe(3);
  for (const one of [client, clientOf(other)]) {
    for (const id of ids) {
      expect((await one.responses.retrieve(id)).id).toBe(id);
      expect((await one.responses.inputItems.list(id)).data).toHaveLength(1);
    }
  }
  const [first = "", second = ""] = ids;
  expect(await refusal(client.responses.cancel(first))).toContain("Cannot cancel a synchronous");
  await client.responses.delete(first);
  await clientOf(other).responses.delete(second);
  expect([await keepersOf(first), await keepersOf(second)]).toEqual([[], []]);
});

test("what goes on from a response goes to its node, streamed or not, in a proxy that knows it and in another", async () => {
  let id = await made();
  const [home] = await keepersOf(id);
  for (const through of [client, clientOf(other)]) {
    for (const stream of [false, true]) {
      const body = { model: "m", input: "and then?", previous_response_id: id };
      const next = stream
        ? await through.responses.stream(body).finalResponse()
        : await through.responses.create(body);
      expect(await keepersOf(next.id)).toEqual([home ?? -1]);
      expect(next.usage?.input_tokens).toBeGreaterThan(10);
      id = next.id;
    }
  }
});

test("what nobody has is 404 in the engine's words, and no engine is out for it", async () => {
  const answer = await fetch(`${proxy.url}/v1/responses/resp_nobodys`);
  expect(answer.status).toBe(404);
  expect(await answer.text()).toContain("Response with id 'resp_nobodys' not found.");
  for (let i = 0; i < 20; i += 1) {
    const body = { model: "m", input: "x", previous_response_id: "resp_nobodys" };
    expect(await refusal(client.responses.create(body))).toContain("not found");
  }
  await made({ store: false });
  const states = Object.values(await proxy.status());
  expect(states.map(({ state, unfinished }) => [state, unfinished])).toEqual(
    Array.from({ length: 3 }, () => ["healthy", 0]),
  );
});

test("a node that drains takes nothing new, and what it keeps can be got, cancelled and deleted", async () => {
  const [id, another] = [await made(), await made()];
  const [home = -1] = await keepersOf(id);
  const tell = (path: string) =>
    Promise.all(
      [proxy, other].map(({ url }) =>
        fetch(`${url}/nodes/${path}`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ url: engines[home]?.url }),
        }),
      ),
    );
  await tell("drain");
  for (const one of [client, clientOf(other)]) {
    expect((await one.responses.retrieve(id)).id).toBe(id);
    expect((await one.responses.inputItems.list(id)).data).toHaveLength(1);
    expect(await refusal(one.responses.cancel(id))).toContain("Cannot cancel a synchronous");
    const goesOn = one.responses.create({ model: "m", input: "x", previous_response_id: id });
    expect(await refusal(goesOn)).toContain(
      "503 The engine that keeps what this request refers to cannot take requests now",
    );
  }
  const before = engines[home]?.state().totalRequests;
  await Promise.all(Array.from({ length: 6 }, () => made()));
  expect(engines[home]?.state().totalRequests).toBe(before);
  await client.responses.delete(id);
  expect(await keepersOf(id)).toEqual([]);
  await tell("undrain");
  await Promise.all([untilHealthy(proxy, 3), untilHealthy(other, 3)]);
  expect((await client.responses.retrieve(another)).id).toBe(another);
});

test("as long as a node cannot be asked, that the others have it not is no 404", async () => {
  await using here = startRecordingNode(["m"]);
  await using out = startRecordingNode(["m"]);
  here.status = 404;
  const flags = ["--node", here.url, out.url];
  await using fresh = await startProxy(flags);
  await untilHealthy(fresh, 2);
  await out[Symbol.asyncDispose]();
  await until("one is out", async () => (await fresh.status())[out.url]?.state === "unhealthy");
  const got = () => fetch(`${fresh.url}/v1/responses/resp_1`);
  const answer = await got();
  expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "1"]);
  expect(await answer.text()).toContain("1 of 2 engines cannot be asked now");
  const goesOn = {
    method: "POST",
    body: JSON.stringify({ model: "m", previous_response_id: "r" }),
  };
  expect((await fetch(`${fresh.url}/v1/responses`, goesOn)).status).toBe(503);
  // What has left for good is not missed.
  await fetch(`${fresh.url}/nodes/remove`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ url: out.url }),
  });
  expect((await got()).status).toBe(404);
});

test("nor where another one failed when it was asked, before or after", async () => {
  await using without = startRecordingNode(["m"]);
  await using failing = startRecordingNode(["m"]);
  const flags = ["--strategy", "round_robin", "--health-interval", "60"];
  await using fresh = await startProxy([...flags, "--node", without.url, failing.url]);
  await untilHealthy(fresh, 2);
  const post = (body: object) =>
    fetch(`${fresh.url}/v1/responses`, {
      method: "POST",
      body: JSON.stringify({ model: "m", ...body }),
    });
  const statuses: number[] = [];
  for (let turn = 0; turn < 2; turn += 1) {
    [without.status, failing.status] = [404, 500];
    statuses.push((await post({ previous_response_id: "r" })).status);
    [without.status, failing.status] = [200, 200];
    // Then the other one is the first.
    await post({});
  }
  expect(statuses.toSorted()).toEqual([500, 503]);
});

test("nor as long as one has not said what it serves, as after a restart of the proxy while it is out", async () => {
  await using here = startRecordingNode(["m"]);
  await using out = startRecordingNode(["m"]);
  here.status = 404;
  await out[Symbol.asyncDispose]();
  await using fresh = await startProxy(["--node", here.url, out.url]);
  await until("the other serves", async () => (await fresh.status())[here.url]?.models[0] === "m");
  const through = clientOf(fresh);
  const goesOn = () => refusal(through.responses.create({ model: "m", previous_response_id: "r" }));
  expect(await goesOn()).toContain("503 No engine that answered keeps what this request refers to");
  await fetch(`${fresh.url}/nodes/remove`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ url: out.url }),
  });
  expect(await goesOn()).toContain("404");
});

test("its tokens count once, however often it is got", async () => {
  const counted = async () => {
    const page = await (await fetch(`${proxy.url}/metrics`)).text();
    return page.match(/^lmproxy_(?:tokens|answers_without_usage)_total.*$/gm);
  };
  const { id } = await client.responses.create({ model: "m", input: "Count me." });
  const before = await counted();
  expect(before?.join()).toContain('kind="output"');
  for (let i = 0; i < 3; i += 1) await client.responses.retrieve(id);
  expect(await counted()).toEqual(before);
});

test("looking something up is no sign of speed", async () => {
  const id = await made();
  const latencies = async () => Object.values(await proxy.status()).map(({ latency }) => latency);
  const before = await latencies();
  for (let i = 0; i < 5; i += 1) await client.responses.retrieve(id);
  expect(await latencies()).toEqual(before);
});

test.each(["..%2f..%2fnodes", "%2e%2e", "a%2fb", "x".repeat(201), "resp_%00"])(
  "%s is no id, and goes nowhere",
  async (id) => {
    const before = engines.map((engine) => engine.state().totalRequests);
    const answer = await fetch(`${proxy.url}/v1/responses/${id}`);
    expect([400, 404]).toContain(answer.status);
    await answer.body?.cancel();
    expect(engines.map((engine) => engine.state().totalRequests)).toEqual(before);
  },
);

test("HEAD is refused, and says what is not", async () => {
  const answer = await fetch(`${proxy.url}/v1/responses/resp_1`, { method: "HEAD" });
  expect([answer.status, answer.headers.get("allow")]).toEqual([405, "GET, OPTIONS"]);
});

test("bytes, queries and headers go as they came; a conversation stays too", async () => {
  await using one = startRecordingNode(["m"]);
  await using two = startRecordingNode(["m"]);
  await using plain = await startProxy(["--strategy", "round_robin", "--node", one.url, two.url]);
  await untilHealthy(plain, 2);
  const call = async (method: string, path: string, body?: object) => {
    const init = body === undefined ? {} : { body: JSON.stringify(body) };
    const headers = { "content-type": "application/json" };
    const answer = await fetch(plain.url + path, { method, headers, ...init });
    await answer.bytes();
    return answer.status;
  };
  for (let i = 0; i < 4; i += 1) {
    await call("POST", "/v1/responses", { model: "m", input: i, conversation: { id: "conv_1" } });
  }
  const [at, elsewhere] = one.asked.length > 0 ? [one, two] : [two, one];
  expect([at.asked.length, elsewhere.asked.length]).toEqual([4, 0]);
  await call("GET", "/v1/responses/resp_7?stream=true&starting_after=3");
  await call("POST", "/v1/responses/resp_7/cancel");
  await call("GET", "/v1/responses/resp_7/input_items?limit=2");
  await call("DELETE", "/v1/responses/resp_7");
  const seen = [...one.asked, ...two.asked].filter((asked) => asked.includes("resp_7"));
  expect(seen).toEqual([
    "GET /v1/responses/resp_7?stream=true&starting_after=3",
    "POST /v1/responses/resp_7/cancel",
    "GET /v1/responses/resp_7/input_items?limit=2",
    "DELETE /v1/responses/resp_7",
  ]);
});
