import { expect, setDefaultTimeout, test } from "bun:test";
import type { EvictionReason } from "../../../src/core/pool/node.ts";
import { Cluster } from "../../../src/lab/cluster.ts";

setDefaultTimeout(60_000);

const UNTRUSTED = { kind: "untrusted", detail: "its certificate is not trusted" } as const;

test("a certificate that ran out takes the node out, and nothing from it that it has", () => {
  const cluster = new Cluster({ nodes: 2 });
  const node = cluster.node("n0");
  const evicted: EvictionReason[] = [];
  const lease = cluster.lease();
  lease.sender = { evict: (why) => evicted.push(why) };
  cluster.time.advance(600_000);
  for (let i = 0; i < 3; i += 1) cluster.registry.learning.probed(node, UNTRUSTED, false);
  expect(node.health.state).toBe("unhealthy");
  expect(lease.node).toBe(node);
  expect(evicted).toEqual([]);
});

test("requests that it kept from being sent weigh nothing", () => {
  const cluster = new Cluster({ nodes: 2 });
  const lease = cluster.lease();
  const { node } = lease;
  lease.end(UNTRUSTED);
  expect(node.charges.at(cluster.time.nowMs)).toBe(0);
  expect(node.health.state).toBe("healthy");
  expect(node.lastError).toBe(UNTRUSTED.detail);
});
