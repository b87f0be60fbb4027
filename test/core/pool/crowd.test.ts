/** Nodes that come back, alone or in a crowd, and what a short outage leaves behind. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Node } from "../../../src/core/pool/node.ts";
import { STRATEGY_NAMES } from "../../../src/core/strategies/index.ts";
import { answered, Cluster, LOST } from "../../../src/lab/cluster.ts";
import { keepWatch, type Seen, send } from "./patients.ts";

setDefaultTimeout(60_000);

/** Slower with everything it has in hand. */
const byLoad = (node: Node) => 100 * (1 + node.inFlight / 4);

function shareOf({ leases }: Seen, node: Node): number {
  return leases.filter((lease) => lease.node === node).length / leases.length;
}

function p99({ requests }: Seen): number {
  const sorted = requests.map(({ waitedMs }) => waitedMs).sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length * 0.99)] ?? Number.NaN;
}

describe.each(STRATEGY_NAMES)("%s", (strategy) => {
  test.each([4, 8])(
    "all but one of %d return together: that one gets twice its share at most",
    (nodes) => {
      const steady = { perSecond: 10 * nodes, firstWordMs: byLoad };
      const cluster = new Cluster({ nodes, strategy });
      const [stayed, ...others] = cluster.registry.nodes();
      if (stayed === undefined) throw new Error("no nodes");
      send(cluster, { ...steady, seconds: 10 });
      for (const node of others) cluster.refuse(node);
      send(cluster, { ...steady, perSecond: 5, seconds: 20 });
      for (const node of others) cluster.pass(node);
      for (let s = 0; s < 10; s += 1) {
        const seen = send(cluster, { ...steady, seconds: 1 });
        // One second is a small sample.
        expect(shareOf(seen, stayed)).toBeLessThanOrEqual(
          (strategy === "random" ? 2.6 : 2.2) / nodes,
        );
      }
    },
  );
});

test.each([4, 8])(
  "all but one of %d return together: nobody waits much longer than with all alike",
  (nodes) => {
    const steady = { perSecond: 10 * nodes, seconds: 20, firstWordMs: byLoad };
    const after = (comeBack: boolean) => {
      const cluster = new Cluster({ nodes });
      if (!comeBack) return p99(send(cluster, steady));
      const [, ...others] = cluster.registry.nodes();
      for (const node of others) cluster.refuse(node);
      cluster.warmUp();
      for (const node of others) cluster.pass(node);
      return p99(send(cluster, steady));
    };
    expect(after(true)).toBeLessThanOrEqual(1.3 * after(false));
  },
);

test.each([answered(500), LOST, answered(503)])(
  "an outage of half a second is over soon after: every node has its share again (%p)",
  (end) => {
    const cluster = new Cluster({ nodes: 4 });
    keepWatch(cluster);
    const steady = { perSecond: 40, firstWordMs: () => 300 };
    send(cluster, { ...steady, seconds: 10 });
    for (let i = 0; i < 1_000; i += 1) {
      const lease = cluster.acquire();
      if (typeof lease !== "string") lease.end(end);
      if (i % 2 === 0) cluster.time.advance(1);
    }
    send(cluster, { ...steady, seconds: 9 });
    const seen = send(cluster, { ...steady, seconds: 10 });
    for (const node of cluster.registry.nodes()) expect(shareOf(seen, node)).toBeGreaterThan(0.12);
  },
);

test("an engine whose gauges stand still does not look empty by them", () => {
  const cluster = new Cluster({ nodes: 2, strategy: "min_cache_usage" });
  const { registry, time } = cluster;
  const frozen = cluster.node("n0");
  const gauges = (node: Node) =>
    node === frozen
      ? { cacheUsage: 0, running: 0, waiting: 0 }
      : { cacheUsage: 0.02 * node.inFlight, running: node.inFlight, waiting: 0 };
  let onFrozen = 0;
  for (let i = 0; i < 40; i += 1) {
    for (const node of registry.nodes()) {
      registry.learning.sampled(node, gauges(node), "vllm", time.nowMs);
    }
    if (cluster.lease().node === frozen) onFrozen += 1;
    time.advance(2_000);
  }
  expect(onFrozen).toBeLessThanOrEqual(21);
});
