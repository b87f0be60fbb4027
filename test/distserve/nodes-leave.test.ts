/** Nodes that leave, die or come back, and what becomes of their pairs. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RunningEngine } from "../../src/sim/server/engine-options.ts";
import { startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { type Cluster, messageOf, only, startCluster, startRole } from "./cluster.ts";

// Each test starts processes, on machines that may be busy.
setDefaultTimeout(60_000);

/** Seconds long: it does not end before its engine is made to stand still. */
const STREAM = { stream: true, max_tokens: 1_000, ignore_eos: true };
/** What a stream stood still for has happened: it need not take its time any more. */
const QUICK = 100;
const DROP = "/distserve/p2p_drop_connect";

function administer(url: string, path: string, body: object): Promise<Response> {
  return fetch(url + path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}

function drops(engine: RunningEngine): number {
  return engine.state().requestsByPath[DROP] ?? 0;
}

async function pairsOf(cluster: Cluster, engine: RunningEngine): Promise<number | undefined> {
  return (await cluster.proxy.status())[engine.url]?.pairs;
}

describe.concurrent.each(["drain", "remove"])("a node that is taken out by %s", (how) => {
  test.each(["prefills", "decodes"] as const)(
    "of the %s: its pairs go with its last request",
    async (role) => {
      await using cluster = await startCluster({ engine: { timeScale: 1 } });
      const [prefill, decode] = [only(cluster.prefills), only(cluster.decodes)];
      const answer = await cluster.chat(STREAM);
      const reader = answer.body?.getReader();
      await reader?.read();
      decode.setPace(0);
      await administer(cluster.proxy.url, `/nodes/${how}`, { url: only(cluster[role]).url });
      expect((await cluster.chat()).status).toBe(503);
      expect([prefill, decode].map(drops)).toEqual([0, 0]);
      decode.setPace(QUICK);
      while (!(await reader?.read())?.done);
      await until("both are told", () => drops(prefill) === 1 && drops(decode) === 1);
      expect([prefill.state().connectedPeers, decode.state().connectedPeers]).toEqual([[], []]);
      expect(prefill.state().preservedSessions).toBe(0);
    },
  );
});

describe.concurrent.each(["drain", "remove"])("a prefill engine put back after %s", (how) => {
  test("runs on: its sessions are freed and its answers go on", async () => {
    await using cluster = await startCluster({ engine: { timeScale: 1 } });
    const prefill = only(cluster.prefills);
    const gone = new AbortController();
    const [left, stayed] = await Promise.all([
      cluster.chat(STREAM, { signal: gone.signal }),
      cluster.chat(STREAM),
    ]);
    only(cluster.decodes).setPace(0);
    await administer(cluster.proxy.url, `/nodes/${how}`, { url: prefill.url });
    await administer(cluster.proxy.url, "/nodes/add", { url: prefill.url, role: "Prefill" });
    await until("it is back", async () => {
      return (await cluster.proxy.status())[prefill.url]?.state === "healthy";
    });
    expect((await cluster.proxy.status())[prefill.url]?.open_sessions).toBe(2);
    gone.abort();
    await left.text().catch(() => {});
    only(cluster.decodes).setPace(QUICK);
    expect(await stayed.text()).toEndWith("data: [DONE]\n\n");
    await cluster.quiet();
    expect((await cluster.chat()).status).toBe(200);
    await cluster.quiet();
  });
});

test.concurrent("a drained node that registers again is connected again", async () => {
  await using cluster = await startCluster();
  const decode = only(cluster.decodes);
  await administer(cluster.proxy.url, "/nodes/drain", { url: decode.url });
  await until("its pair is dropped", async () => (await pairsOf(cluster, decode)) === 0);
  await administer(cluster.proxy.url, "/nodes/add", { url: decode.url, role: "Decode" });
  await until("it is connected", async () => (await pairsOf(cluster, decode)) === 1);
  expect((await cluster.chat()).status).toBe(200);
});

test.concurrent("a decode engine that dies loses its pairs, and the prefill engines are told", async () => {
  await using cluster = await startCluster({
    prefills: 2,
    decodes: 2,
    flags: ["--health-interval", "0.1"],
  });
  const [dead] = cluster.decodes;
  if (dead === undefined) throw new Error("no engine");
  await dead.stop(true);
  await until("its pairs are gone", async () => (await pairsOf(cluster, dead)) === 0);
  await until("both are told", () => cluster.prefills.every((prefill) => drops(prefill) === 1));
  for (const prefill of cluster.prefills) expect(prefill.state().connectedPeers).toHaveLength(1);
  cluster.decodes[0] = await startRole("Decode", null, { port: dead.port });
  await until("it is connected again", async () => (await pairsOf(cluster, dead)) === 2);
  for (let i = 0; i < 8; i += 1) expect((await cluster.chat()).status).toBe(200);
});

test.concurrent("an engine that registers anew is connected anew, though nobody missed it", async () => {
  await using cluster = await startCluster();
  const decode = only(cluster.decodes);
  await decode.stop(true);
  cluster.decodes[0] = await startRole("Decode", cluster.proxy, { port: decode.port });
  await until(
    "it is connected again",
    () => only(cluster.decodes).state().connectedPeers.length === 1,
  );
  expect((await cluster.chat()).status).toBe(200);
});

test.concurrent("a node ejected for time-outs alone keeps its pairs and sessions", async () => {
  await using cluster = await startCluster({
    engine: { timeScale: 1 },
    flags: ["--health-interval", "0.1", "--health-timeout", "0.1"],
  });
  const [prefill, decode] = [only(cluster.prefills), only(cluster.decodes)];
  const answer = await cluster.chat(STREAM);
  const reader = answer.body?.getReader();
  await reader?.read();
  decode.setPace(0);
  prefill.setFaults([{ path: "/health", fault: { kind: "hang", at: "before-headers" } }]);
  await until("it is ejected", async () => {
    return (await cluster.proxy.status())[prefill.url]?.state === "unhealthy";
  });
  expect((await cluster.proxy.status())[prefill.url]).toMatchObject({ pairs: 1, open_sessions: 1 });
  decode.setPace(QUICK);
  while (!(await reader?.read())?.done);
  prefill.setFaults([]);
  await until("it is back", async () => {
    return (await cluster.proxy.status())[prefill.url]?.state === "healthy";
  });
  expect([drops(prefill), prefill.state().requestsByPath["/distserve/p2p_connect"]]).toEqual([
    0, 1,
  ]);
  expect((await cluster.chat()).status).toBe(200);
});

describe.concurrent.each(["Prefill", "Decode"] as const)(
  "requests that wait on a %s node ejected for time-outs",
  (role) => {
    const flags = ["--health-interval", "0.1", "--health-timeout", "0.1"];
    const health = { path: "/health", fault: { kind: "hang", at: "before-headers" } } as const;
    const isOut = async (cluster: Cluster, { url }: RunningEngine) =>
      (await cluster.proxy.status())[url]?.state === "unhealthy";

    test("go to another, and no block is left on either", async () => {
      const counts = role === "Prefill" ? { prefills: 2 } : { decodes: 2 };
      await using cluster = await startCluster({ ...counts, flags });
      const [first] = role === "Prefill" ? cluster.prefills : cluster.decodes;
      if (first === undefined) throw new Error("no engine");
      first.setPace(0);
      const asked = Array.from({ length: 8 }, () => cluster.chat());
      await until("some wait there", () => {
        // Where they come one after the other, each may have found the other one idle.
        if (first.state().openRequests === 0) asked.push(cluster.chat());
        return first.state().openRequests > 0;
      });
      first.setFaults([health]);
      const answers = await Promise.all(asked);
      expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
      first.setPace(1);
      await cluster.quiet();
    });

    test("go to another that comes back, though both were out when they came", async () => {
      const counts = role === "Prefill" ? { prefills: 2 } : { decodes: 2 };
      await using cluster = await startCluster({ ...counts, flags });
      const engines = role === "Prefill" ? cluster.prefills : cluster.decodes;
      for (const engine of engines) {
        engine.setPace(0);
        engine.setFaults([health]);
        await until("it is out", () => isOut(cluster, engine));
      }
      const answer = cluster.chat();
      await until("one has it", () => engines.some((engine) => engine.state().openRequests === 1));
      const other = engines.find((engine) => engine.state().openRequests === 0);
      other?.setFaults([]);
      other?.setPace(1);
      expect((await answer).status).toBe(200);
      for (const engine of engines) engine.setPace(1);
      await cluster.quiet();
    });

    test("stay when there is no other", async () => {
      await using cluster = await startCluster({ flags });
      const engine = only(role === "Prefill" ? cluster.prefills : cluster.decodes);
      engine.setPace(0);
      const answer = cluster.chat();
      await until("it waits there", () => engine.state().openRequests === 1);
      engine.setFaults([health]);
      await until("it is out", () => isOut(cluster, engine));
      const probes = () => engine.state().requestsByPath["/health"] ?? 0;
      const before = probes();
      await until("it is probed on", () => probes() > before + 3);
      engine.setPace(1);
      expect((await answer).status).toBe(200);
      expect(engine.state().totalRequests).toBe(1);
      await cluster.quiet();
    });
  },
);

describe.concurrent("a node of the wrong serving strategy", () => {
  test("is refused with what to change", async () => {
    await using hybrid = await startProxy([]);
    await using distserve = await startProxy(["--serving-strategy", "DistServe"]);
    const url = "http://127.0.0.1:9";
    const attempts = [
      [hybrid, { role: 2 }, "--serving-strategy DistServe"],
      [hybrid, { role: "Decode" }, "--serving-strategy DistServe"],
      [distserve, { role: 1 }, "--serving-strategy Hybrid"],
      [distserve, {}, "--role Prefill"],
    ] as const;
    for (const [proxy, status, advice] of attempts) {
      const answer = await administer(proxy.url, "/nodes/add", { url, status });
      expect([answer.status, await messageOf(answer)]).toEqual([
        400,
        expect.stringContaining(advice),
      ]);
    }
    expect([await hybrid.status(), await distserve.status()]).toEqual([{}, {}]);
  });

  test("in the state file is left out with a warning; its own are brought back", async () => {
    const path = join(await mkdtemp(join(tmpdir(), "lmproxy-distserve-")), "nodes.json");
    const urls = ["http://127.0.0.1:1", "http://127.0.0.1:2"];
    {
      await using proxy = await startProxy(["--serving-strategy", "DistServe", "--state", path]);
      for (const [i, url] of urls.entries()) {
        await administer(proxy.url, "/nodes/add", { url, status: { role: i + 2 } });
      }
      await proxy.end();
    }
    {
      await using hybrid = await startProxy(["--state", path]);
      expect(await hybrid.status()).toEqual({});
      for (const said of [...urls, "--serving-strategy DistServe"]) {
        await until(`${said} is in the log`, () => hybrid.log().includes(said));
      }
      await hybrid.end();
    }
    await using proxy = await startProxy(["--serving-strategy", "DistServe", "--state", path]);
    const roles = Object.values(await proxy.status()).map(({ role }) => role);
    expect(roles).toEqual([2, 3]);
  });
});
