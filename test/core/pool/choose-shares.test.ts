/** What nodes that differ only by chance get: even shares, also while there is little to do. */
import { expect, setDefaultTimeout, test } from "bun:test";
import type { Lease } from "../../../src/core/pool/lease.ts";
import { Cluster, OK } from "../../../src/lab/cluster.ts";

setDefaultTimeout(60_000);

/** Sends `count` requests, `atOnce` of them open at a time, oldest ended first; how many each node got. */
function send(cluster: Cluster, count: number, atOnce: number): number[] {
  const counts = new Map(cluster.registry.nodes().map((node) => [node, 0]));
  const open: Lease[] = [];
  for (let i = 0; i < count; i += 1) {
    const lease = cluster.lease();
    counts.set(lease.node, (counts.get(lease.node) ?? 0) + 1);
    open.push(lease);
    if (open.length >= atOnce) open.shift()?.end(OK);
    cluster.time.advance(5);
  }
  for (const lease of open) lease.end(OK);
  return [...counts.values()];
}

test.each([1, 2, 4, 64])(
  "nodes that joined within 2 s of each other share %d at a time",
  (atOnce) => {
    const cluster = new Cluster();
    for (let i = 0; i < 3; i += 1) {
      cluster.join(`n${i}`);
      cluster.time.advance(900);
    }
    const counts = send(cluster, 1_500, atOnce);
    for (const count of counts) expect(count).toBeWithin(425, 575);
  },
);

test("one that joins later gets less at first, and not nothing", () => {
  const cluster = new Cluster({ nodes: 2 });
  const late = cluster.join("late");
  const counts = send(cluster, 300, 6);
  expect(counts[cluster.registry.nodes().indexOf(late)]).toBeWithin(1, 60);
});

test("a node that has shown no usage yet is not kept away by a guess of what requests take", () => {
  const cluster = new Cluster({ nodes: 3, strategy: "min_cache_usage" });
  const [first, second, third] = cluster.registry.nodes();
  const { nowMs } = cluster.time;
  for (const node of [first, second]) {
    const gauges = { cacheUsage: 0.0004, running: 2, waiting: 0 };
    if (node !== undefined) cluster.registry.learning.sampled(node, gauges, null, nowMs);
  }
  const idle = { cacheUsage: 0, running: 0, waiting: 0 };
  if (third !== undefined) cluster.registry.learning.sampled(third, idle, null, nowMs);
  const counts = send(cluster, 300, 30);
  for (const count of counts) expect(count).toBeWithin(80, 120);
});

test("of two engines the one with twice the KV cache comes to hold about twice as much", () => {
  const cluster = new Cluster({ nodes: 2, strategy: "min_cache_usage" });
  const [small, large] = cluster.registry.nodes();
  if (small === undefined || large === undefined) throw new Error("two nodes expected");
  const watch = () => {
    for (const [node, share] of [
      [small, 0.02],
      [large, 0.01],
    ] as const) {
      const gauges = { cacheUsage: node.inFlight * share, running: node.inFlight, waiting: 0 };
      cluster.registry.learning.sampled(node, gauges, null, cluster.time.nowMs);
    }
    cluster.time.after(1_000, watch);
  };
  watch();
  const held = [0, 0];
  for (let i = 0; i < 4_000; i += 1) {
    cluster.time.advance(100);
    const lease = cluster.lease();
    cluster.time.after(4_000, () => lease.end(OK));
    held[0] = (held[0] ?? 0) + small.inFlight;
    held[1] = (held[1] ?? 0) + large.inFlight;
  }
  expect((held[1] ?? 0) / (held[0] ?? 0)).toBeWithin(1.6, 2.4);
});
