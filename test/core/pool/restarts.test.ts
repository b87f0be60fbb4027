import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Lease, Outcome } from "../../../src/core/pool/lease.ts";
import type { EvictionReason, Node } from "../../../src/core/pool/node.ts";
import { NOTHING_ASKED } from "../../../src/core/strategies/strategy.ts";
import { answered, CANCELLED, Cluster, LOST, REFUSED } from "../../../src/lab/cluster.ts";

setDefaultTimeout(60_000);

describe("another engine behind the same URL is found", () => {
  test.each([
    ["refused", 1],
    ["refused refused refused", 1],
    ["request:refused", 1],
    ["request:refused refused", 1],
    ["request:lost refused", 1],
    ["refused ok refused", 2],
    ["request:lost", 0],
    ["request:lost ok", 0],
    ["timeout timeout", 0],
    ["timeout timeout refused", 1],
    ["request:500 request:500", 0],
    ["request:unreachable", 0],
    ["register", 1],
    ["register refused refused ok", 1],
    ["register ok refused", 2],
    ["drain refused", 1],
  ])("%p: %d times", (words, restarts) => {
    const cluster = new Cluster({ nodes: 2 });
    const node = cluster.node("n0");
    let heard = 0;
    cluster.registry.subscribe({ nodeRestarted: () => (heard += 1) });
    cluster.play(node, words);
    expect(heard).toBe(restarts);
    expect(node.generation).toBe(restarts);
  });

  test("by a last resort that is refused: not once more for each", () => {
    const cluster = new Cluster({ nodes: 1 });
    const node = cluster.node("n0");
    cluster.play(node, "refused");
    for (let i = 0; i < 5; i += 1) cluster.lease().end(REFUSED);
    expect(node.generation).toBe(1);
  });

  test("by somebody else, who says so: it is probed", () => {
    const cluster = new Cluster({ nodes: 1 });
    const node = cluster.node("n0");
    let probes = 0;
    cluster.registry.subscribe({ probeWanted: () => (probes += 1) });
    cluster.registry.learning.engineReplaced(node);
    expect({ generation: node.generation, probes }).toEqual({ generation: 1, probes: 1 });
  });

  test("its KV cache is not the old one's", () => {
    const cluster = new Cluster({ nodes: 1 });
    const node = cluster.node("n0");
    cluster.registry.learning.sampled(node, { cacheUsage: 0.9, running: 9, waiting: 0 }, "vllm", 0);
    cluster.play(node, "refused ok");
    expect(node.cache.expected(cluster.time.nowMs, 60_000)).toBeNull();
  });
});

describe("a new engine is not judged by requests that its predecessor got", () => {
  test.each<[string, Outcome]>([
    ["lost", LOST],
    ["refused", REFUSED],
    ["500", answered(500)],
    ["503", answered(503)],
  ])("%s", (_what, outcome) => {
    const cluster = new Cluster({ nodes: 2 });
    const node = cluster.node("n0");
    const before = [cluster.leaseOn(node), cluster.leaseOn(node)];
    cluster.play(node, "refused ok");
    cluster.warmUp();
    for (const lease of before) lease.end(outcome);
    expect(node.health.routable(cluster.time.nowMs)).toBe(true);
    expect(node.generation).toBe(1);
    expect(node.inFlight).toBe(0);
    // Nor by their charge.
    expect(node.inFlight + node.charges.at(cluster.time.nowMs)).toBe(0);
  });
});

describe("requests without a byte on a node that is found dead", () => {
  /** Two requests on `node`, one of them with a first byte, and a list of those that were taken off it. */
  function running(cluster: Cluster, node: Node) {
    const [waiting, streaming] = [cluster.leaseOn(node), cluster.leaseOn(node)];
    streaming.piece(cluster.time.nowMs);
    const evicted: [Lease, EvictionReason][] = [];
    for (const lease of [waiting, streaming]) {
      lease.sender = {
        evict(reason) {
          evicted.push([lease, reason]);
          lease.end(CANCELLED);
        },
      };
    }
    return { waiting, streaming, evicted };
  }

  test.each([
    "refused",
    "timeout timeout",
    "request:lost refused",
    "request:lost timeout timeout",
    "drain refused",
    "drain timeout timeout",
    "remove timeout timeout",
    "remove unreachable unreachable",
    "request:500 request:500 refused",
    "register refused",
    "remove register refused",
    "drain register timeout timeout",
    "request:500 request:500 register refused",
  ])("are moved: %p", (words) => {
    const cluster = new Cluster({ nodes: 2 });
    const node = cluster.node("n0");
    const { waiting, streaming, evicted } = running(cluster, node);
    // Until then it may be in its prefill.
    cluster.time.advance(2_000);
    cluster.play(node, words);
    expect(evicted).toEqual([[waiting, "node_ejected"]]);
    expect([...node.leases]).toEqual([streaming]);
  });

  test("but not those that may be in a long prefill, when all that is known is that probes time out", () => {
    const cluster = new Cluster({ nodes: 2 });
    const node = cluster.node("n0");
    const asked = { ...NOTHING_ASKED, promptBytes: 2_000_000 };
    const other = cluster.registry.nodes().filter((one) => one !== node);
    const lease = cluster.lease({ asked, tried: new Set(other) });
    let evicted = false;
    lease.sender = { evict: () => (evicted = true) };
    cluster.time.advance(600_000);
    cluster.play(node, "timeout timeout timeout");
    expect(evicted).toBe(false);
    cluster.play(node, "refused");
    expect(evicted).toBe(true);
  });

  test.each([
    "timeout",
    "request:lost timeout",
    "unreachable",
    "timeout ok timeout",
    "timeout+ timeout+ timeout+",
    "timeout timeout+ timeout",
    "request:lost ok",
    "request:500 request:500 timeout",
    "request:500 request:500 timeout+ timeout+",
    "request:503",
    "drain",
    "remove",
    "register",
  ])("stay where they are: %p", (words) => {
    const cluster = new Cluster({ nodes: 2 });
    const node = cluster.node("n0");
    const { evicted } = running(cluster, node);
    cluster.play(node, words);
    expect(evicted).toEqual([]);
    expect(node.inFlight).toBe(2);
  });

  test("are called for although it was known to be dead: another may be back, which they know", () => {
    const cluster = new Cluster({ nodes: 1 });
    const node = cluster.node("n0");
    cluster.play(node, "refused");
    const lease = cluster.lease();
    let evicted = false;
    lease.sender = { evict: () => (evicted = true) };
    cluster.play(node, "refused timeout");
    expect({ lastResort: lease.lastResort, evicted }).toEqual({ lastResort: true, evicted: true });
  });
});
