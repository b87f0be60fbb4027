import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Outcome } from "../../../src/core/pool/lease.ts";
import {
  answered,
  CANCELLED,
  Cluster,
  LOST,
  OK,
  REFUSED,
  TIMEOUT,
} from "../../../src/lab/cluster.ts";

setDefaultTimeout(60_000);

function inBadHealth(cluster: Cluster): string[] {
  const nodes = cluster.registry.nodes().filter(({ health }) => health.state === "unhealthy");
  return nodes.map(({ url }) => url.slice(7));
}

describe("latency", () => {
  test("is from start to end, not to the first byte", () => {
    const cluster = new Cluster({ nodes: 1 });
    const lease = cluster.lease();
    cluster.time.advance(200);
    lease.piece(cluster.time.nowMs);
    lease.answering(200);
    cluster.time.advance(1_300);
    lease.end(OK);
    expect(lease.node.latencies.toArray()).toEqual([1_500]);
    expect(lease.firstByteAtMs).toBe(lease.startedAtMs + 200);
  });

  test.each<[string, Outcome]>([
    ["302", answered(302)],
    ["404", answered(404)],
    ["429", answered(429)],
    ["500", answered(500)],
    ["refused", REFUSED],
    ["lost", LOST],
    ["broken", { kind: "broken", detail: "half an answer" }],
    ["timeout", TIMEOUT],
    ["cancelled", CANCELLED],
  ])("counts only for complete 2xx answers, not for %s", (_what, outcome) => {
    const cluster = new Cluster({ nodes: 1 });
    const { latencies } = cluster.node("n0");
    cluster.send(cluster.node("n0"), outcome);
    expect(latencies.toArray()).toEqual([]);
  });
});

describe("latencies are forgotten", () => {
  test("a minute after the last of them: as history at once, for good with the next", () => {
    const cluster = new Cluster({ nodes: 1 });
    const node = cluster.node("n0");
    const meanMs = () => node.meanLatencyMs(cluster.time.nowMs);
    const lease = cluster.lease();
    cluster.time.advance(700);
    lease.end(OK);
    cluster.time.advance(59_999);
    expect(meanMs()).toBe(700);
    cluster.time.advance(1);
    expect(meanMs()).toBeNull();
    expect(node.latencies.toArray()).toEqual([700]);
    cluster.send(node, OK);
    expect(node.latencies.toArray()).toEqual([0]);
    expect(meanMs()).toBe(0);
  });
});

describe("elsewhere for now", () => {
  test.each<[number, number | null, number]>([
    [503, null, 1_000],
    [429, null, 1_000],
    [503, 0, 1_000],
    [429, 400, 1_000],
    [503, 3_000, 3_000],
    [429, 10_000, 10_000],
    [503, 60_000, 10_000],
  ])("%d with Retry-After %p ms: passed over for %d ms", (status, retryAfterMs, ms) => {
    const cluster = new Cluster({ nodes: 1 });
    const node = cluster.node("n0");
    cluster.send(node, answered(status, retryAfterMs));
    expect(node.health.state).toBe("healthy");
    cluster.time.advance(ms - 1);
    expect(cluster.lease().lastResort).toBe(true);
    cluster.time.advance(1);
    expect(cluster.lease().lastResort).toBe(false);
  });

  test.each([200, 400, 404, 413, 500, 501, 502, 504])("%d passes nobody over", (status) => {
    const cluster = new Cluster({ nodes: 1 });
    cluster.send(cluster.node("n0"), answered(status, 5_000));
    expect(cluster.lease().lastResort).toBe(false);
  });
});

describe("ejection", () => {
  test.each<[string, Outcome, boolean, number]>([
    ["refused", REFUSED, true, 1],
    ["lost", LOST, true, 1],
    ["broken", { kind: "broken", detail: "half an answer" }, true, 1],
    ["timeout", TIMEOUT, false, 1],
    ["500", answered(500), false, 1],
    ["503", answered(503), false, 0],
    ["429", answered(429), false, 0],
    ["404", answered(404), false, 0],
    ["200", OK, false, 0],
    ["cancelled", CANCELLED, false, 0],
  ])("after %s", (_what, outcome, ejected, probes) => {
    const cluster = new Cluster({ nodes: 2 });
    let wanted = 0;
    cluster.registry.subscribe({ probeWanted: () => (wanted += 1) });
    cluster.send(cluster.node("n0"), outcome);
    expect(inBadHealth(cluster)).toEqual(ejected ? ["n0"] : []);
    expect(wanted).toBe(probes);
  });

  test("4xx answers never eject, however many", () => {
    const cluster = new Cluster({ nodes: 4 });
    const node = cluster.node("n0");
    for (let i = 0; i < 100; i += 1) cluster.send(node, answered(400 + (i % 29)));
    expect(inBadHealth(cluster)).toEqual([]);
  });

  test.each([
    [1, 0],
    [2, 1],
    [3, 1],
    [4, 2],
    [5, 2],
  ])("bad answers of %d nodes eject %d of them: never more than half", (nodes, ejected) => {
    const cluster = new Cluster({ nodes });
    for (let i = 0; i < 5; i += 1) {
      for (const { url, health } of cluster.registry.nodes()) {
        if (health.state === "healthy") cluster.send(cluster.node(url.slice(7)), answered(500));
      }
    }
    expect(inBadHealth(cluster)).toHaveLength(ejected);
  });

  test("nor do lost connections, which may be the requests' fault; refused ones eject all", () => {
    const cluster = new Cluster({ nodes: 4 });
    for (const node of cluster.registry.nodes()) {
      cluster.send(node, LOST);
      cluster.pass(node);
    }
    expect(inBadHealth(cluster)).toHaveLength(2);
    for (const node of cluster.registry.nodes()) {
      if (node.health.state === "healthy") cluster.send(node, REFUSED);
    }
    expect(inBadHealth(cluster)).toHaveLength(4);
  });

  test("half counts for each of a node's models, and for nodes whose models are not known", () => {
    const cluster = new Cluster();
    const both = cluster.join("n0", { models: ["a", "b"] });
    cluster.join("n1", { models: ["a"] });
    const wanted = { model: "a", tried: new Set([cluster.node("n1")]) };
    for (let i = 0; i < 3; i += 1) cluster.lease(wanted).end(answered(500));
    expect(both.health.state).toBe("healthy");

    const nameless = new Cluster();
    for (let i = 0; i < 3; i += 1) nameless.join(`n${i}`, { models: [] });
    for (let i = 0; i < 40; i += 1) {
      const lease = nameless.lease({ model: null });
      if (!lease.trial) lease.end(answered(500));
    }
    expect(inBadHealth(nameless)).toHaveLength(1);
  });

  test("good heads in between keep two bad answers from being in a row", () => {
    const cluster = new Cluster({ nodes: 2 });
    const node = cluster.node("n0");
    const stream = cluster.leaseOn(node);
    cluster.send(node, answered(500));
    stream.answering(200);
    cluster.send(node, answered(500));
    expect(inBadHealth(cluster)).toEqual([]);
    cluster.send(node, answered(500));
    expect(inBadHealth(cluster)).toEqual(["n0"]);
  });
});

describe("why it failed last", () => {
  test("is told until a probe passes", () => {
    const cluster = new Cluster({ nodes: 1 });
    const node = cluster.node("n0");
    cluster.send(node, answered(500));
    expect(node.lastError).toBe("answered a request with 500");
    cluster.pass(node);
    expect(node.lastError).toBeNull();
    cluster.registry.learning.probed(
      node,
      { kind: "bad_answer", detail: "GET /health: 502" },
      false,
    );
    expect(node.lastError).toBe("GET /health: 502");
  });
});
