/** What an administrator did to an engine is known before probes find out, and lets no late probe undo it. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { Cluster } from "../../../src/lab/cluster.ts";

setDefaultTimeout(60_000);

function probed(cluster: Cluster, kind: "ok" | "sleeping"): string {
  const node = cluster.node("n0");
  cluster.registry.learning.probed(node, { kind }, false);
  return node.health.state;
}

test("a node put to sleep stays so for as long as probes may not know it, and no longer", () => {
  const cluster = new Cluster({ nodes: 1 });
  const node = cluster.node("n0");
  cluster.registry.learning.told(node, "asleep");
  expect(node.health.state).toBe("sleeping");
  expect(cluster.acquire()).toBeString();
  cluster.time.advance(14_000);
  expect(probed(cluster, "ok")).toBe("sleeping");
  // Somebody woke it without the proxy's knowing.
  cluster.time.advance(2_000);
  expect(probed(cluster, "ok")).toBe("healthy");
});

test("once a probe has said the same, the next one counts at once", () => {
  const cluster = new Cluster({ nodes: 1 });
  cluster.registry.learning.told(cluster.node("n0"), "asleep");
  expect(probed(cluster, "ok")).toBe("sleeping");
  expect(probed(cluster, "sleeping")).toBe("sleeping");
  expect(probed(cluster, "ok")).toBe("healthy");
});

test("a node that was woken is routable, although probes say for a while that it sleeps", () => {
  const cluster = new Cluster({ nodes: 1 });
  const node = cluster.node("n0");
  cluster.registry.learning.foundAsleep(node, true);
  cluster.registry.learning.told(node, "awake");
  expect(probed(cluster, "sleeping")).toBe("healthy");
  expect(cluster.lease().node).toBe(node);
  cluster.time.advance(16_000);
  expect(probed(cluster, "sleeping")).toBe("sleeping");
});

test("a node that drains goes on draining", () => {
  const cluster = new Cluster({ nodes: 1 });
  const node = cluster.node("n0");
  cluster.registry.membership.drain(node.url);
  cluster.registry.learning.told(node, "asleep");
  cluster.registry.learning.told(node, "awake");
  expect(node.health.state).toBe("draining");
});

test("a new process behind the URL was told nothing", () => {
  const cluster = new Cluster({ nodes: 1 });
  cluster.registry.learning.told(cluster.node("n0"), "asleep");
  cluster.register("n0");
  expect(probed(cluster, "ok")).toBe("healthy");
});
