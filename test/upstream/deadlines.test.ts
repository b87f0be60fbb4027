import { expect, test } from "bun:test";
import { Lease } from "../../src/core/pool/lease.ts";
import { NOTHING_ASKED } from "../../src/core/strategies/strategy.ts";
import { Cluster } from "../../src/lab/cluster.ts";
import { Attempt } from "../../src/upstream/attempt.ts";
import { Deadlines } from "../../src/upstream/deadlines.ts";
import { realClock } from "../support/clock.ts";

const NO_LIMITS = { connectMs: 5_000, firstByteMs: null, idleMs: null, totalMs: null };

function setUp() {
  const cluster = new Cluster({ nodes: 1 });
  const deadlines = new Deadlines({
    limits: NO_LIMITS,
    clock: { ...realClock, now: cluster.time.now },
    nodesInUse: () => cluster.registry.nodesInUse(),
    reachable: async () => true,
  });
  const wanted = {
    model: "m",
    role: "Hybrid",
    asked: NOTHING_ASKED,
    tried: new Set<never>(),
  } as const;
  const lease = cluster.registry.acquire(wanted);
  if (!(lease instanceof Lease)) throw new Error("no node");
  const attempt = new Attempt(lease);
  attempt.received(cluster.time.now());
  const pass = (ms: number) => {
    for (let at = 0; at < ms; at += 100) {
      cluster.time.advance(100);
      deadlines.tick();
    }
  };
  return { cluster, attempt, lease, pass };
}

test("an answer that stands still on an engine that takes no connection any more is broken off", () => {
  const { attempt, lease, pass, cluster } = setUp();
  pass(20_000);
  expect(attempt.stopped).toBeNull();
  cluster.registry.learning.refusedConnection(lease.node);
  attempt.received(cluster.time.now());
  pass(9_000);
  attempt.received(cluster.time.now());
  pass(9_000);
  expect(attempt.stopped).toBeNull();
  pass(2_000);
  expect([attempt.stopped, lease.outcome?.kind]).toEqual(["node_gone", "timeout"]);
});
