/** What takes a node out, what does not, and how it comes back. */
import { expect, setDefaultTimeout, test } from "bun:test";
import type { RunningEngine } from "../../src/sim/server/engine-options.ts";
import { engineStarter } from "../sim/server/running.ts";
import { ask, askInTurn, times } from "../support/ask.ts";
import { freePort } from "../support/free-port.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);
const start = engineStarter("all");
/** Only requests, and the probes they trigger, find anything out; each node gets some of them. */
const NO_PROBES = ["--health-interval", "600", "--strategy", "random"];
const QUICK_PROBES = ["--health-interval", "0.05"];
/** Long enough that no busy machine is taken for a sick engine. */
const SHORT_TIMEOUT = ["--health-timeout", "0.7"];

async function startBoth(flags: readonly string[]) {
  const engines = await Promise.all([start({ port: freePort() }), start()]);
  const [sick, well] = engines;
  if (sick === undefined || well === undefined) throw new Error("no engines");
  const proxy = await startProxy([...engines.flatMap(({ url }) => ["--node", url]), ...flags]);
  await untilHealthy(proxy, 2);
  return { sick, well, proxy };
}

async function stateOf(proxy: ProxyProcess, { url }: { url: string }): Promise<string | undefined> {
  return (await proxy.status())[url]?.state;
}

async function untilState(proxy: ProxyProcess, engine: RunningEngine, state: string) {
  await until(`${engine.url} is ${state}`, async () => (await stateOf(proxy, engine)) === state);
}

/** Asks on until the node is in `state`; no request may fail on the way. */
async function askUntil(proxy: ProxyProcess, engine: RunningEngine, state: string): Promise<void> {
  await until(`requests make ${engine.url} ${state}`, async () => {
    expect(await askInTurn(proxy, 1)).toEqual([200]);
    return (await stateOf(proxy, engine)) === state;
  });
}

test.concurrent("fault 12: an engine that has died costs no request, and is back once probes find it", async () => {
  const { sick, proxy } = await startBoth(NO_PROBES);
  await using _ = proxy;
  await sick.stop(true);
  await askUntil(proxy, sick, "unhealthy");
  expect(await askInTurn(proxy, 20)).toEqual(times(20, 200));
  await until("it is known why", async () =>
    (await proxy.status())[sick.url]?.last_error?.includes("ECONNREFUSED"),
  );
  const again = await start({ port: sick.port });
  await untilState(proxy, again, "healthy");
  await until("it gets requests again", async () => {
    expect(await askInTurn(proxy, 1)).toEqual([200]);
    return again.state().completedRequests > 0;
  });
});

test.concurrent("a reset ejects; as /health passes, single requests on trial decide over the return", async () => {
  const { sick, well, proxy } = await startBoth(NO_PROBES);
  await using _ = proxy;
  sick.setFaults([{ fault: { kind: "reset" } }]);
  await askUntil(proxy, sick, "unhealthy");
  await until("it is probed", () => (sick.state().requestsByPath["/health"] ?? 0) >= 2);
  // A failed trial is made good by the other node, and the next one is further away.
  await until("a trial has failed", async () => {
    expect(await askInTurn(proxy, 1)).toEqual([200]);
    return sick.state().totalRequests >= 2;
  });
  expect(await askInTurn(proxy, 20)).toEqual(times(20, 200));
  expect(sick.state().totalRequests).toBeLessThan(10);
  sick.setFaults([]);
  await askUntil(proxy, sick, "healthy");
  expect(well.state().totalRequests).toBeGreaterThan(20);
});

for (const [what, fault] of [
  ["time-outs", { kind: "hang", at: "before-headers" }],
  ["failed answers", { kind: "answer", status: 500 }],
] as const) {
  test.concurrent(`two ${what} of /health in a row eject, a single one does not`, async () => {
    const { sick, proxy } = await startBoth([...QUICK_PROBES, ...SHORT_TIMEOUT]);
    await using _ = proxy;
    sick.setFaults([{ fault, path: "/health", count: 1 }]);
    const probes = sick.state().requestsByPath["/health"] ?? 0;
    await until("it was probed again", () => {
      return (sick.state().requestsByPath["/health"] ?? 0) > probes + 3;
    });
    expect(proxy.log()).not.toContain("node is out");
    sick.setFaults([{ fault, path: "/health" }]);
    await untilState(proxy, sick, "unhealthy");
    const requests = sick.state().totalRequests;
    expect(await askInTurn(proxy, 20)).toEqual(times(20, 200));
    expect(sick.state().totalRequests).toBe(requests);
    sick.setFaults([]);
    await untilState(proxy, sick, "healthy");
  });
}

test.concurrent("any failure of a request triggers a probe", async () => {
  const { sick, proxy } = await startBoth(NO_PROBES);
  await using _ = proxy;
  const probes = sick.state().requestsByPath["/health"] ?? 0;
  sick.setFaults([{ fault: { kind: "answer", status: 502 }, count: 1 }]);
  await until("it was probed", async () => {
    expect(await askInTurn(proxy, 1)).toEqual([200]);
    return (sick.state().requestsByPath["/health"] ?? 0) > probes;
  });
});

test.concurrent("failed answers eject half of a model's nodes and never more; a good one brings back", async () => {
  const { sick, well, proxy } = await startBoth(NO_PROBES);
  await using _ = proxy;
  for (const engine of [sick, well]) {
    engine.setFaults([{ fault: { kind: "answer", status: 500 } }]);
  }
  expect(await askInTurn(proxy, 30)).toEqual(times(30, 500));
  const states = [await stateOf(proxy, sick), await stateOf(proxy, well)].sort();
  expect(states).toEqual(["healthy", "unhealthy"]);
  for (const engine of [sick, well]) engine.setFaults([]);
  await until("both are healthy", async () => {
    expect(await askInTurn(proxy, 1)).toEqual([200]);
    return (await stateOf(proxy, sick)) === (await stateOf(proxy, well));
  });
});

test.concurrent("a stream on trial has passed with its first word, not only when it ends", async () => {
  const { sick, proxy } = await startBoth(NO_PROBES);
  await using _ = proxy;
  sick.setFaults([{ fault: { kind: "answer", status: 500 } }]);
  await askUntil(proxy, sick, "unhealthy");
  sick.setFaults([{ fault: { kind: "hang", at: "body", afterBytes: 1_000 } }]);
  await until("a trial stream hangs in its body, and its node is back", async () => {
    const leave = new AbortController();
    const answer = await ask(proxy, { stream: true }, { signal: leave.signal });
    expect(answer.status).toBe(200);
    const isBack = (await stateOf(proxy, sick)) === "healthy";
    leave.abort();
    return isBack;
  });
});

test.concurrent("answers that speak of the request never count against a node", async () => {
  const { sick, proxy } = await startBoth(NO_PROBES);
  await using _ = proxy;
  for (const status of [408, 409, 499, 501, 505]) {
    sick.setFaults([{ fault: { kind: "answer", status } }]);
    let seen = 0;
    await until(`${status} has come four times`, async () => {
      const [answered] = await askInTurn(proxy, 1);
      seen += answered === status ? 1 : 0;
      return seen === 4;
    });
  }
  expect(proxy.log()).not.toContain("node is out");
});

test.concurrent("an engine that still sends bytes is alive, however late it answers probes", async () => {
  const engine = await start({ timeScale: 1 });
  await using proxy = await startProxy([
    "--node",
    engine.url,
    ...QUICK_PROBES,
    "--health-timeout",
    "0.5",
  ]);
  await untilHealthy(proxy);
  engine.setFaults([{ fault: { kind: "hang", at: "before-headers" }, path: "/health" }]);
  const probes = engine.state().requestsByPath["/health"] ?? 0;
  const answer = await ask(proxy, { max_tokens: 5_000, ignore_eos: true, stream: true });
  for await (const _ of answer.body ?? []) {
    if ((engine.state().requestsByPath["/health"] ?? 0) >= probes + 5) break;
  }
  expect(engine.state().openRequests).toBe(1);
  expect(proxy.log()).not.toContain("node is out");
  await untilState(proxy, engine, "unhealthy");
});
