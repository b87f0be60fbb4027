import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { EngineOptions } from "../../src/sim/server/engine-options.ts";
import { startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";
import { chat, messageOf, startCluster, startRole } from "./cluster.ts";

// Each test starts processes, on machines that may be busy.
setDefaultTimeout(60_000);

const DISTSERVE = ["--serving-strategy", "DistServe"];

function warmUp(url: string): Promise<Response> {
  return fetch(`${url}/distserve/connection_warmup`, { method: "POST" });
}

async function pairOf(
  prefillOptions: Partial<EngineOptions>,
  decodeOptions: Partial<EngineOptions>,
) {
  const prefill = await startRole("Prefill", null, prefillOptions);
  const decode = await startRole("Decode", null, decodeOptions);
  const nodes = ["--prefill", prefill.url, "--decode", decode.url];
  const proxy = await startProxy([...DISTSERVE, "--no-warmup", ...nodes]);
  await untilHealthy(proxy, 2);
  return {
    prefill,
    decode,
    proxy,
    async [Symbol.asyncDispose]() {
      await proxy.end("SIGKILL");
      await Promise.all([prefill.stop(true), decode.stop(true)]);
    },
  };
}

test("nodes that join are connected with all the others, before a request needs it", async () => {
  await using cluster = await startCluster({ prefills: 2, decodes: 3 });
  const decodeUrls = cluster.decodes.map(({ url }) => url).sort();
  for (const prefill of cluster.prefills) {
    expect([...prefill.state().connectedPeers].sort()).toEqual(decodeUrls);
    expect(prefill.state().requestsByPath["/distserve/p2p_initialize"]).toBe(3);
  }
});

test("without warm-up a request connects its pair, and one handshake serves all who wait", async () => {
  await using cluster = await startCluster({ flags: ["--no-warmup"] });
  const [prefill] = cluster.prefills;
  expect(prefill?.state().connectedPeers).toEqual([]);
  const answers = await Promise.all(Array.from({ length: 20 }, () => cluster.chat()));
  expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 20 }, () => 200));
  expect(prefill?.state().requestsByPath).toMatchObject({
    "/distserve/p2p_initialize": 1,
    "/distserve/p2p_connect": 1,
  });
});

test("asked for, it connects every pair and says how they are", async () => {
  await using cluster = await startCluster({ prefills: 2, decodes: 2, flags: ["--no-warmup"] });
  const answer = await warmUp(cluster.proxy.url);
  const pairs = cluster.prefills.flatMap((prefill) =>
    cluster.decodes.map((decode) => ({
      prefill: prefill.url,
      decode: decode.url,
      state: "connected",
      error: null,
    })),
  );
  expect([answer.status, await answer.json()]).toEqual([
    200,
    { SUCCESS: true, pairs: expect.arrayContaining(pairs) },
  ]);
  for (const { pairs: count } of Object.values(await cluster.proxy.status())) expect(count).toBe(2);
});

describe("a pair that can never work", () => {
  test("for its sizes: the error names both nodes and what differs", async () => {
    await using lab = await pairOf({ tpSize: 2 }, { tpSize: 4 });
    const answer = await chat(lab.proxy.url);
    const message = await messageOf(answer);
    expect(answer.status).toBe(502);
    const parts = ["tp_size", `${lab.prefill.url}: 2`, `${lab.decode.url}: 4`];
    for (const part of parts) expect(message).toContain(part);
    expect(await (await warmUp(lab.proxy.url)).json()).toMatchObject({
      SUCCESS: false,
      pairs: [{ state: "impossible", error: expect.stringContaining("tp_size") }],
    });
    // No KV block was touched, and no engine was asked to do what it cannot.
    expect(lab.prefill.state().requestsByPath).not.toHaveProperty("/distserve/p2p_initialize");
  });

  test("is passed over while there is another, and not tried again and again", async () => {
    await using lab = await pairOf({ tpSize: 2 }, { tpSize: 4 });
    const other = await startRole("Decode", lab.proxy, { tpSize: 2 });
    await untilHealthy(lab.proxy, 3);
    for (let i = 0; i < 20; i += 1) expect((await chat(lab.proxy.url)).status).toBe(200);
    expect(other.state().completedRequests).toBe(20);
    expect(lab.decode.state().requestsByPath["/distserve/engine_info"] ?? 0).toBeLessThan(3);
    await other.stop(true);
  });
});

test("tries go on behind a request's back, and the pair comes to work", async () => {
  const fault = { kind: "answer", status: 500 } as const;
  await using lab = await pairOf(
    {},
    { faults: [{ path: "/distserve/p2p_connect", fault, count: 3 }] },
  );
  expect((await chat(lab.proxy.url)).status).toBe(200);
  expect(lab.decode.state().requestsByPath["/distserve/p2p_connect"]).toBe(4);
  expect(lab.prefill.state()).toMatchObject({ totalRequests: 1, preservedSessions: 0 });
});

test("nodes of different models are not connected", async () => {
  const prefill = await startRole("Prefill", null, { models: ["a", "b"] });
  const decode = await startRole("Decode", null, { models: ["b"] });
  const other = await startRole("Decode", null, { models: ["c"] });
  await using proxy = await startProxy([...DISTSERVE, "--no-warmup"]);
  for (const [engine, role] of [
    [prefill, 2],
    [decode, 3],
    [other, 3],
  ] as const) {
    const status = { models: engine.state().models, role };
    await fetch(`${proxy.url}/nodes/add`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ url: engine.url, status }),
    });
  }
  await until("all are healthy", async () =>
    Object.values(await proxy.status()).every(({ state }) => state === "healthy"),
  );
  expect(await (await warmUp(proxy.url)).json()).toMatchObject({
    SUCCESS: true,
    pairs: [{ prefill: prefill.url, decode: decode.url }],
  });
  await Promise.all([prefill, decode, other].map((engine) => engine.stop(true)));
});

test("a Hybrid proxy has no pairs to connect", async () => {
  await using proxy = await startProxy([]);
  for (const path of ["connection_warmup", "gc"]) {
    const answer = await fetch(`${proxy.url}/distserve/${path}`, { method: "POST" });
    expect([answer.status, await messageOf(answer)]).toEqual([
      400,
      expect.stringContaining("--serving-strategy DistServe"),
    ]);
  }
});
