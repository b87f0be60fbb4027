import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { STRATEGY_NAMES } from "../../../src/core/strategies/index.ts";
import { answered, Cluster, OK } from "../../../src/lab/cluster.ts";
import { traffic } from "../../support/traffic.ts";

setDefaultTimeout(60_000);

/** Probes and polls all nodes as the proxy does, each request taking a hundredth of a KV cache. */
function watch(cluster: Cluster): void {
  for (const node of cluster.registry.nodes()) {
    cluster.pass(node);
    const gauges = { cacheUsage: node.inFlight * 0.01, running: node.inFlight, waiting: 0 };
    cluster.registry.learning.sampled(node, gauges, "lmdeploy", cluster.time.nowMs);
  }
  cluster.time.after(5_000, () => watch(cluster));
}

describe.each(STRATEGY_NAMES)("%s", (strategy) => {
  test("a node that fails fast does not attract traffic by looking idle", () => {
    const cluster = new Cluster({ nodes: 3, strategy });
    watch(cluster);
    const [first, second, good] = cluster.registry.nodes();
    if (good === undefined) throw new Error("three nodes expected");
    // The first of the bad ones is ejected; then the other may not be, or more than half were out.
    const counts = traffic(cluster, {
      perSecond: 20,
      seconds: 120,
      answer: (node) =>
        node === good ? { meanMs: 1_000, outcome: OK } : { meanMs: 5, outcome: answered(500) },
    });
    const [toFirst = 0, toSecond = 0, toGood = 0] = counts.values();
    const toBad = Math.max(toFirst, toSecond);
    const share = toBad / (toBad + toGood);
    // Those that look at nothing give it an even share; all that look give it less.
    const isBlind = strategy === "random" || strategy === "round_robin";
    expect(share).toBeLessThan(isBlind ? 0.55 : 0.25);
    const isIn = [first, second].some((node) => node?.health.state === "healthy");
    expect(isIn || isBlind).toBe(true);
  });

  test("nodes that start together share equally", () => {
    const cluster = new Cluster({ strategy });
    for (let i = 0; i < 4; i += 1) cluster.join(`n${i}`);
    watch(cluster);
    const answer = () => ({ meanMs: 500, outcome: OK });
    const counts = [...traffic(cluster, { perSecond: 100, seconds: 5, answer }).values()];
    for (const count of counts) expect(count / 125).toBeWithin(0.75, 1.25);
  });

  test("a node that joins a busy cluster is brought in over some seconds, not flooded", () => {
    const cluster = new Cluster({ nodes: 3, strategy });
    watch(cluster);
    const answer = () => ({ meanMs: 4_000, outcome: OK });
    const busy = { perSecond: 50, answer };
    traffic(cluster, { ...busy, seconds: 30 });
    const joined = cluster.join("n3");
    // What it gets every two seconds, in multiples of an equal share.
    const got = Array.from({ length: 20 }, () => {
      const counts = traffic(cluster, { ...busy, seconds: 2 });
      return (counts.get(joined) ?? 0) / 25;
    });
    expect(mean(got.slice(0, 2))).toBeWithin(0.05, 1);
    expect(Math.max(...got)).toBeLessThan(3);
    expect(mean(got.slice(10))).toBeWithin(0.6, 1.4);
  });

  test("a node that joins an idle cluster is not held back", () => {
    const cluster = new Cluster({ nodes: 1, strategy });
    cluster.join("n1");
    const answer = () => ({ meanMs: 1, outcome: OK });
    const counts = traffic(cluster, { perSecond: 2, seconds: 9, answer });
    for (const count of counts.values()) expect(count).toBeGreaterThan(0);
  });

  test("a node that failed once in an idle cluster is asked again within half a minute", () => {
    const cluster = new Cluster({ nodes: 2, strategy });
    const [failed] = cluster.registry.nodes();
    if (failed === undefined) throw new Error("two nodes expected");
    cluster.leaseOn(failed).end(answered(500));
    const answer = () => ({ meanMs: 1, outcome: OK });
    const counts = traffic(cluster, { perSecond: 2, seconds: 30, answer });
    expect(counts.get(failed)).toBeGreaterThan(0);
  });

  test("a node that was slow once is not avoided for ever", () => {
    const cluster = new Cluster({ nodes: 4, strategy });
    const slow = cluster.node("n0");
    const first = cluster.leaseOn(slow);
    cluster.time.advance(60_000);
    first.end(OK);
    watch(cluster);
    const steady = { perSecond: 8, answer: () => ({ meanMs: 1_000, outcome: OK }) };
    traffic(cluster, { ...steady, seconds: 90 });
    const counts = traffic(cluster, { ...steady, seconds: 300 });
    expect(counts.get(slow)).toBeGreaterThan(0.5 * ((8 * 300) / 4));
  });
});

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
