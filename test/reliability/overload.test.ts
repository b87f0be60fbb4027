/** Limits on what runs at once, and the queue behind them. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "node:net";
import { Value } from "@sinclair/typebox/value";
import { OpenRequests } from "../../src/http/schemas.ts";
import { ask, times } from "../support/ask.ts";
import { startGateEngine } from "../support/gate-engine.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

async function startGated(flags: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const engine = startGateEngine();
  const proxy = await startProxy(["--node", engine.url, ...flags], { env });
  await untilHealthy(proxy, 1, flags.includes("--api-keys") ? "one" : undefined);
  return {
    engine,
    proxy,
    async [Symbol.asyncDispose]() {
      await proxy.end("SIGKILL");
      await engine.stop();
    },
  };
}

let sent = 0;

/** Sends a request and goes on when the proxy has read it, so that the next one is behind it. */
async function send(proxy: ProxyProcess, name: string, init: BunFetchRequestInit = {}) {
  sent += 1;
  const id = `sent-${sent}`;
  const headers = { ...init.headers, "x-request-id": id };
  const answer = ask(proxy, { name }, { ...init, headers });
  let isOver = false;
  const over = () => {
    isOver = true;
  };
  answer.then(over, over);
  await until(`${name} is there`, async () => {
    if (isOver) return true;
    const shown: unknown = await (await fetch(`${proxy.url}/debug/requests`, { headers })).json();
    Value.Assert(OpenRequests, shown);
    return shown.some((one) => one.id === id && one.phase !== "reading");
  });
  return { answer };
}

async function statusOf({ answer }: { answer: Promise<Response> }): Promise<number> {
  const { status } = await answer;
  return status;
}

async function unfinished(proxy: ProxyProcess): Promise<number> {
  const nodes = Object.values(await proxy.status());
  return nodes.reduce((sum, node) => sum + node.unfinished, 0);
}

for (const flag of ["--max-concurrency", "--max-concurrency-per-node"]) {
  test(`${flag}: more wait, first in first out, and are not counted as unfinished`, async () => {
    await using cluster = await startGated([flag, "2"]);
    const { engine, proxy } = cluster;
    const names = ["a", "b", "c", "d", "e", "f"];
    const sent = [];
    for (const name of names) sent.push(await send(proxy, name));
    await until("two are at the engine", () => engine.waiting === 2);
    expect(await unfinished(proxy)).toBe(2);
    for (let released = 1; released <= names.length; released += 1) {
      engine.release(1);
      const arrivals = Math.min(released + 2, names.length);
      await until(`${arrivals} have arrived`, () => engine.arrived.length === arrivals);
      expect(engine.waiting).toBeLessThanOrEqual(2);
    }
    expect(await Promise.all(sent.map(statusOf))).toEqual(times(6, 200));
    expect(engine.arrived).toEqual(names);
  });
}

test("the queue of one model does not hold up another's", async () => {
  await using cluster = await startGated(["--max-concurrency-per-node", "1"]);
  const { engine, proxy } = cluster;
  const other = startGateEngine("other");
  const headers = { "content-type": "application/json" };
  const body = JSON.stringify({ url: other.url });
  await fetch(`${proxy.url}/nodes/add`, { method: "POST", headers, body });
  await untilHealthy(proxy, 2);
  for (const name of ["a", "b", "c"]) await send(proxy, name);
  const free = ask(proxy, { model: "other", name: "free" });
  await until("it is at its engine", () => other.waiting === 1);
  other.release(1);
  expect((await free).status).toBe(200);
  expect(engine.arrived).toEqual(["a"]);
  await other.stop();
});

test("clients may leave the queue: their requests are over at once and never sent, and nothing is logged of it", async () => {
  await using cluster = await startGated(["--max-concurrency", "1"]);
  const { engine, proxy } = cluster;
  const first = await send(proxy, "first");
  const controllers = times(20, null).map(() => new AbortController());
  for (const [i, { signal }] of controllers.entries()) await send(proxy, `left ${i}`, { signal });
  const last = await send(proxy, "last");
  for (const controller of controllers) controller.abort();
  await until("none of them is open", async () => {
    const open: unknown = await (await fetch(`${proxy.url}/debug/requests`)).json();
    return Array.isArray(open) && open.length === 2;
  });
  engine.release(1);
  await until("the last one has arrived", () => engine.arrived.includes("last"));
  engine.release(1);
  expect([await statusOf(first), await statusOf(last)]).toEqual([200, 200]);
  expect(engine.arrived).toEqual(["first", "last"]);
  expect(proxy.log()).not.toContain("failed unexpectedly");
  expect(await unfinished(proxy)).toBe(0);
});

test("a full queue refuses at once: 503 for the cluster's limit; administration and health never wait", async () => {
  await using cluster = await startGated(["--max-concurrency", "1", "--queue-size", "2"]);
  const { engine, proxy } = cluster;
  const waiting = [];
  for (const name of ["a", "b", "c"]) waiting.push(await send(proxy, name));
  const refused = await ask(proxy);
  expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "1"]);
  expect(await refused.json()).toMatchObject({ error: { code: "service_unavailable" } });
  for (const path of ["/health", "/ready", "/nodes/status", "/v1/models"]) {
    expect((await fetch(proxy.url + path)).status).toBe(200);
  }
  engine.release(1);
  await until("b is at the engine", () => engine.arrived.includes("b"));
  engine.release(1);
  await until("c is at the engine", () => engine.arrived.includes("c"));
  engine.release(1);
  expect(await Promise.all(waiting.map(statusOf))).toEqual([200, 200, 200]);
});

test("who has waited for --queue-timeout gets 503; 0 means not to wait", async () => {
  for (const seconds of ["0", "0.2"]) {
    await using cluster = await startGated(["--max-concurrency", "1", "--queue-timeout", seconds]);
    const { engine, proxy } = cluster;
    const first = await send(proxy, "first");
    await until("it is at the engine", () => engine.waiting === 1);
    const answer = await ask(proxy);
    expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "1"]);
    engine.release(1);
    expect(await statusOf(first)).toBe(200);
  }
});

test("--max-concurrency-per-client goes by key: 429 to who has too many, others go on", async () => {
  const flags = ["--max-concurrency-per-client", "1", "--queue-size", "1"];
  await using cluster = await startGated([...flags, "--api-keys", "one", "two"]);
  const { engine, proxy } = cluster;
  const as = (key: string) => ({ headers: { authorization: `Bearer ${key}` } });
  const first = await send(proxy, "first", as("one"));
  const queued = await send(proxy, "queued", as("one"));
  const refused = await ask(proxy, {}, as("one"));
  expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "1"]);
  expect(await refused.json()).toMatchObject({ error: { type: "rate_limit_error" } });
  const other = await send(proxy, "other", as("two"));
  await until("the other client is at the engine", () => engine.waiting === 2);
  expect(engine.arrived).toEqual(["first", "other"]);
  engine.release(2);
  await until("the queued one is, too", () => engine.arrived.includes("queued"));
  engine.release(1);
  expect(await Promise.all([first, queued, other].map(statusOf))).toEqual([200, 200, 200]);
});

test("one client beyond its limit leaves the others their places in the queue", async () => {
  const limits = ["--max-concurrency-per-client", "2", "--max-concurrency-per-node", "3"];
  await using cluster = await startGated([
    ...[...limits, "--queue-size", "20", "--api-keys", "one", "two"],
  ]);
  const { engine, proxy } = cluster;
  const as = (key: string) => ({ headers: { authorization: `Bearer ${key}` } });
  const greedy = [];
  for (let i = 0; i < 30; i += 1) greedy.push(await send(proxy, "greedy", as("one")));
  await until("two are at the engine", () => engine.waiting === 2);
  const others = [];
  for (let i = 0; i < 8; i += 1) others.push(await send(proxy, "other", as("two")));
  let over = false;
  const answers = Promise.all([...others, ...greedy].map(statusOf)).finally(() => {
    over = true;
  });
  await until("all are answered", () => {
    engine.release(1);
    return over;
  });
  const statuses = await answers;
  expect(statuses.slice(0, 8)).toEqual(times(8, 200));
  const refused = statuses.slice(8).filter((status) => status !== 200);
  expect(refused.length).toBeGreaterThanOrEqual(8);
  expect(new Set(refused)).toEqual(new Set([429]));
});

test("without keys, clients are told apart by address", async () => {
  await using cluster = await startGated(["--max-concurrency-per-client", "1"]);
  const { engine, proxy } = cluster;
  await send(proxy, "first");
  await send(proxy, "second");
  const body = JSON.stringify({ model: "tiny", name: "elsewhere" });
  const socket = connect({ host: "127.0.0.1", port: proxy.port, localAddress: "127.0.0.2" });
  const head = `POST /generate HTTP/1.1\r\nhost: x\r\ncontent-length: ${body.length}\r\n\r\n`;
  socket.write(head + body);
  await until("the other address is at the engine", () => engine.waiting === 2);
  expect(engine.arrived).toEqual(["first", "elsewhere"]);
  socket.destroy();
});

for (const [variable, value, atOnce] of [
  ["LMDEPLOY_PROXY_CONN_LIMIT", "3", 3],
  ["LMDEPLOY_PROXY_CONN_LIMIT_PER_HOST", "3", 3],
  ["LMDEPLOY_PROXY_CONN_LIMIT_PER_HOST", "0", 150],
  // LMDeploy's own default would be 100.
  ["LMDEPLOY_PROXY_CONN_LIMIT", "", 150],
] as const) {
  test(`${variable}=${value}: ${atOnce} of 150 requests at once`, async () => {
    await using cluster = await startGated([], { [variable]: value });
    const { engine, proxy } = cluster;
    const answers = times(150, null).map(() => ask(proxy).then(({ status }) => status));
    await until(`${atOnce} are at the engine`, () => engine.waiting === atOnce);
    expect(await unfinished(proxy)).toBe(atOnce);
    await until("all have been answered", () => {
      expect(engine.waiting).toBeLessThanOrEqual(atOnce);
      engine.release(150);
      return engine.arrived.length === 150;
    });
    engine.release(150);
    expect(await Promise.all(answers)).toEqual(times(150, 200));
  });
}
