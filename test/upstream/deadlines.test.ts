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
  const state = { isReachable: true, connecting: 0 };
  const deadlines = new Deadlines({
    limits: NO_LIMITS,
    clock: { ...realClock, now: cluster.time.now },
    nodesInUse: () => cluster.registry.nodesInUse(),
    reachable: async () => state.isReachable,
    connecting: async () => state.connecting,
  });
  const wanted = {
    model: "m",
    role: "Hybrid",
    asked: NOTHING_ASKED,
    tried: new Set<never>(),
  } as const;
  const send = () => {
    const lease = cluster.registry.acquire(wanted);
    if (!(lease instanceof Lease)) throw new Error("no node");
    return new Attempt(lease);
  };
  const pass = (ms: number) => {
    for (let at = 0; at < ms; at += 100) {
      cluster.time.advance(100);
      deadlines.tick();
    }
  };
  return { cluster, state, send, pass };
}

test("an answer that stands still on an engine that takes no connection any more is broken off", () => {
  const { send, pass, cluster } = setUp();
  const attempt = send();
  const { lease } = attempt;
  attempt.received(cluster.time.now());
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

test("when no connection can be had, those go whose own does not stand, the latest", async () => {
  const { send, pass, state } = setUp();
  state.isReachable = false;
  const early = send();
  pass(100);
  const late = send();
  pass(10_000);
  await Bun.sleep(0);
  expect([early.stopped, late.stopped]).toEqual([null, null]);
  state.connecting = 1;
  const third = send();
  pass(100);
  const fourth = send();
  fourth.connected = true;
  pass(100);
  const fifth = send();
  pass(10_000);
  await Bun.sleep(0);
  const stops = [third, fourth, fifth].map(({ stopped }) => stopped);
  expect(stops).toEqual([null, null, "connect_timeout"]);
});
