/** Engines that are full or asleep: requests go elsewhere, and when there is nowhere else, one attempt is made. */
import { expect, setDefaultTimeout, test } from "bun:test";
import type { RunningEngine } from "../../src/sim/server/engine-options.ts";
import type { FaultRule } from "../../src/sim/server/faults.ts";
import { engineStarter } from "../sim/server/running.ts";
import { ask, askInTurn, times } from "../support/ask.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);
const start = engineStarter("all");

async function startAll(count: number, flags: readonly string[] = []) {
  const engines = await Promise.all(times(count, null).map(() => start()));
  const nodes = engines.flatMap(({ url }) => ["--node", url]);
  const proxy = await startProxy([...nodes, "--strategy", "random", ...flags]);
  await untilHealthy(proxy, count);
  return { engines, proxy };
}

function busy(status: 429 | 503, retryAfterS: number | null): FaultRule[] {
  const headers = retryAfterS === null ? {} : { "retry-after": `${retryAfterS}` };
  return [{ fault: { kind: "answer", status, headers, body: "busy" } }];
}

/**
 * How often a node may have been asked that says it is busy: once, and again each time that it has been
 * passed over as long as it wanted, which is no longer than 10 s. On a busy machine that comes to pass.
 */
function timesAsked(sinceMs: number, passedOverS = 10): number {
  return 1 + Math.floor((performance.now() - sinceMs) / 1_000 / passedOverS);
}

function requestsOf(engines: readonly RunningEngine[]): number {
  return engines.reduce((sum, engine) => sum + engine.state().totalRequests, 0);
}

async function untilAsked(proxy: ProxyProcess, engine: RunningEngine): Promise<void> {
  const before = engine.state().totalRequests;
  await until("it was asked", async () => {
    expect(await askInTurn(proxy, 1)).toEqual([200]);
    return engine.state().totalRequests > before;
  });
}

for (const status of [429, 503] as const) {
  test.concurrent(`a ${status} means elsewhere for as long as Retry-After says, and is no failure`, async () => {
    const { engines, proxy } = await startAll(2);
    await using _ = proxy;
    const [full] = engines;
    if (full === undefined) throw new Error("no engine");
    const startedMs = performance.now();
    full.setFaults(busy(status, 30));
    await untilAsked(proxy, full);
    expect(await askInTurn(proxy, 50)).toEqual(times(50, 200));
    expect(full.state().totalRequests).toBeLessThanOrEqual(timesAsked(startedMs));
    expect((await proxy.status())[full.url]?.state).toBe("healthy");
    expect(proxy.log()).not.toContain("node is out");
  });
}

test.concurrent("without Retry-After it is asked again soon", async () => {
  const { engines, proxy } = await startAll(2);
  await using _ = proxy;
  const [full] = engines;
  if (full === undefined) throw new Error("no engine");
  full.setFaults(busy(503, null));
  await untilAsked(proxy, full);
  full.setFaults([]);
  await untilAsked(proxy, full);
});

test.concurrent("up to two retries find the node that has room; none of them costs the client", async () => {
  const { engines, proxy } = await startAll(3);
  await using _ = proxy;
  const startedMs = performance.now();
  for (const engine of engines.slice(0, 2)) engine.setFaults(busy(429, 30));
  expect(await askInTurn(proxy, 50)).toEqual(times(50, 200));
  for (const engine of engines.slice(0, 2)) {
    expect(engine.state().totalRequests).toBeLessThanOrEqual(timesAsked(startedMs));
  }
});

test.concurrent("when every node is passed over, each request has one attempt and gets the engine's answer", async () => {
  for (const retryAfterS of [30, 0]) {
    const { engines, proxy } = await startAll(3);
    await using _ = proxy;
    const startedMs = performance.now();
    for (const engine of engines) engine.setFaults(busy(503, retryAfterS));
    expect(await askInTurn(proxy, 1)).toEqual([503]);
    expect(requestsOf(engines)).toBe(3);
    const answer = await ask(proxy);
    expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, `${retryAfterS}`]);
    expect(await answer.text()).toBe("busy");
    expect(await askInTurn(proxy, 20)).toEqual(times(20, 503));
    // Each has one attempt, and those of each node that was to be asked again. A second is the least.
    const most = 21 + 3 * timesAsked(startedMs, retryAfterS === 0 ? 1 : 10);
    expect(requestsOf(engines)).toBeLessThanOrEqual(most);
  }
});

test.concurrent("when every node is ejected, all are tried rather than refusing everything", async () => {
  const { engines, proxy } = await startAll(2, ["--health-interval", "0.05"]);
  await using _ = proxy;
  const sick: FaultRule = { fault: { kind: "answer", status: 500 }, path: "/health" };
  for (const engine of engines) engine.setFaults([sick]);
  await until("all are ejected", async () =>
    Object.values(await proxy.status()).every(({ state }) => state === "unhealthy"),
  );
  expect((await fetch(`${proxy.url}/ready`)).status).toBe(503);
  expect((await fetch(`${proxy.url}/health`)).status).toBe(200);
  expect(await askInTurn(proxy, 20)).toEqual(times(20, 200));
  for (const engine of engines) expect(engine.state().completedRequests).toBeGreaterThan(0);
  // Sick as well: a probe that passed would bring a node back, and its request may go to another.
  for (const engine of engines) engine.setFaults([sick, { fault: { kind: "reset" } }]);
  const before = requestsOf(engines);
  expect(await askInTurn(proxy, 20)).toEqual(times(20, 502));
  // The first to each may have met a connection that was used before.
  expect(requestsOf(engines)).toBeLessThanOrEqual(before + 22);
});

for (const state of ["sleeping", "draining", "starting"] as const) {
  test.concurrent(`a node that is ${state} is never tried; alone, it is a 503 with Retry-After`, async () => {
    const flags = ["--health-interval", "0.05", "--queue-timeout", "0.5"];
    const { engines, proxy } = await startAll(1, flags);
    await using _ = proxy;
    const [engine] = engines;
    if (engine === undefined) throw new Error("no engine");
    if (state === "draining") {
      const body = JSON.stringify({ url: engine.url });
      const headers = { "content-type": "application/json" };
      await fetch(`${proxy.url}/nodes/drain`, { method: "POST", headers, body });
    } else {
      engine.setHealth(state === "sleeping" ? "sleeping" : "initializing");
    }
    await until(`it is ${state}`, async () => {
      return (await proxy.status())[engine.url]?.state === state;
    });
    expect((await fetch(`${proxy.url}/ready`)).status).toBe(503);
    const answer = await ask(proxy);
    expect(answer.status).toBe(503);
    expect(Number(answer.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
    expect(engine.state().totalRequests).toBe(0);
    const other = await start();
    const headers = { "content-type": "application/json" };
    const body = JSON.stringify({ url: other.url });
    await fetch(`${proxy.url}/nodes/add`, { method: "POST", headers, body });
    await until("the other one is healthy", async () => {
      const node = (await proxy.status())[other.url];
      return node?.state === "healthy" && node.models.length > 0;
    });
    expect(await askInTurn(proxy, 20)).toEqual(times(20, 200));
    expect(engine.state().totalRequests).toBe(0);
  });
}

test.concurrent("the only node, which says that it starts, is waited for as long as for a place", async () => {
  const { engines, proxy } = await startAll(1, ["--health-interval", "0.05"]);
  await using _ = proxy;
  const [engine] = engines;
  if (engine === undefined) throw new Error("no engine");
  engine.setHealth("initializing");
  await until("it starts", async () => {
    return (await proxy.status())[engine.url]?.state === "starting";
  });
  const startedMs = performance.now();
  let settled = false;
  const asked = ask(proxy).finally(() => {
    settled = true;
  });
  // A node that nobody has ever seen is waited for 2 s.
  await until("3 s have passed", () => settled || performance.now() - startedMs > 3_000);
  expect(settled).toBe(false);
  engine.setHealth("healthy");
  expect((await asked).status).toBe(200);
});

test.concurrent("engines without /health are probed at --health-path", async () => {
  const engine = await start({
    faults: [{ fault: { kind: "answer", status: 404 }, path: "/health" }],
  });
  await using proxy = await startProxy(["--node", engine.url, "--health-path", "/v1/models"]);
  await untilHealthy(proxy);
  expect(await askInTurn(proxy, 1)).toEqual([200]);
});
