/** Where sessions are: with the registry that chooses, in virtual time. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { SESSION_BYTES, SessionTable } from "../../../src/cluster/session-table.ts";
import { SharedSessions } from "../../../src/cluster/shared-sessions.ts";
import { type KeptSessions, Sessions } from "../../../src/core/knowledge/sessions.ts";
import { Lease } from "../../../src/core/pool/lease.ts";
import type { Node } from "../../../src/core/pool/node.ts";
import { withSessions } from "../../../src/core/strategies/index.ts";
import { NOTHING_ASKED } from "../../../src/core/strategies/strategy.ts";
import { Cluster, OK, SESSION_TIMEOUT_MS } from "../../../src/lab/cluster.ts";
import { runs } from "../fuzz.ts";

function asking(id: number | null, model = 0) {
  return { ...NOTHING_ASKED, session: id === null ? null : { id, model } };
}

function begin(cluster: Cluster, id: number | null, tried: ReadonlySet<Node> = new Set()): Lease {
  return cluster.lease({ asked: asking(id), tried });
}

function visit(cluster: Cluster, id: number | null): Node {
  return answered(begin(cluster, id));
}

/** It gets a word. */
function answered(lease: Lease): Node {
  lease.piece(lease.startedAtMs);
  lease.end(OK);
  return lease.node;
}

/** Each step is another process' of one proxy. */
function inTurn(now: () => number): KeptSessions {
  const memory = new Uint8Array(SESSION_BYTES);
  const tables = [1, 2, 3].map(
    (row) => new SessionTable(memory, { row, wallMs: now, idleMs: SESSION_TIMEOUT_MS }),
  );
  const processes = tables.map((table) => new SharedSessions(table));
  let turn = 0;
  function next(): SharedSessions {
    turn += 1;
    const one = processes[turn % processes.length];
    if (one === undefined) throw new Error("there are some");
    return one;
  }
  return {
    get size() {
      tables[0]?.sweep();
      return next().size;
    },
    on(node) {
      tables[0]?.sweep();
      return next().on(node);
    },
    finish: (id) => next().finish(id),
    fill: (candidates, asked) => next().fill(candidates, asked),
    listener: {
      leaseStarted: (lease) => next().listener.leaseStarted?.(lease),
      leaseEnded: (lease, outcome) => next().listener.leaseEnded?.(lease, outcome),
    },
  };
}

describe.each([
  ["in one process", {}],
  ["in several", { sessions: inTurn }],
])("sessions kept %s", (_, kept) => {
  describe("sticky_least_loaded", () => {
    const start = (nodes = 4, maxInFlightPerNode?: number) =>
      new Cluster({
        ...kept,
        nodes,
        strategy: "sticky_least_loaded",
        ...(maxInFlightPerNode === undefined ? {} : { maxInFlightPerNode }),
      });

    test("gives every node as many sessions, and each session its node again", () => {
      const cluster = start();
      const homes = Array.from({ length: 40 }, (_, id) => visit(cluster, id));
      for (const node of cluster.registry.nodes()) expect(cluster.sessions?.on(node)).toBe(10);
      for (let turn = 0; turn < 3; turn += 1) {
        for (const [id, home] of homes.entries()) expect(visit(cluster, id)).toBe(home);
      }
    });

    test("spreads requests of no session by load", () => {
      const cluster = start();
      const leases = Array.from({ length: 40 }, () => begin(cluster, null));
      for (const node of cluster.registry.nodes()) expect(node.inFlight).toBe(10);
      expect(cluster.sessions?.size).toBe(0);
      for (const lease of leases) lease.end(OK);
    });

    test("one key that is everybody's overloads no node", () => {
      const cluster = start();
      const leases = Array.from({ length: 200 }, () => begin(cluster, 7));
      for (const node of cluster.registry.nodes()) expect(node.inFlight).toBeWithin(25, 75);
      for (const lease of leases) lease.end(OK);
      expect(cluster.sessions?.size).toBe(1);
    });

    test("some requests of one session at once stay together", () => {
      const cluster = start();
      const nodes = new Set([1, 2, 3, 4].map(() => begin(cluster, 1).node));
      expect(nodes.size).toBe(1);
    });

    test("a session moves when its node is out, and stays where it went", () => {
      const cluster = start();
      const home = visit(cluster, 1);
      cluster.refuse(home);
      cluster.refuse(home);
      const next = visit(cluster, 1);
      expect(next).not.toBe(home);
      for (let i = 0; i < 3; i += 1) cluster.pass(home);
      cluster.warmUp();
      expect(visit(cluster, 1)).toBe(next);
      expect(cluster.sessions?.on(home)).toBe(0);
    });

    test("a session stays where it is while its node is compared with its peers", () => {
      const cluster = start();
      const home = visit(cluster, 1);
      for (let i = 0; i < 6; i += 1)
        begin(cluster, 1).end({ kind: "answered", status: 200, saidTokens: 1 });
      const nodes = Array.from({ length: 16 }, () => visit(cluster, 1));
      expect(new Set(nodes).size).toBeGreaterThan(1);
      expect(cluster.sessions?.on(home)).toBe(1);
    });

    test("a session moves when its node is full", () => {
      const cluster = start(2, 2);
      const first = begin(cluster, 1);
      expect(begin(cluster, 1).node).toBe(first.node);
      expect(begin(cluster, 1).node).not.toBe(first.node);
    });

    test("a retry takes the session along", () => {
      const cluster = start();
      const failed = begin(cluster, 1);
      failed.end({ kind: "lost", detail: "reset" });
      const again = begin(cluster, 1, new Set([failed.node]));
      expect(again.node).not.toBe(failed.node);
      again.end(OK);
      expect(visit(cluster, 1)).toBe(again.node);
    });

    test("a node that leaves keeps nobody, and one that joins gets the next", () => {
      const cluster = start(2);
      for (let id = 0; id < 10; id += 1) visit(cluster, id);
      const [gone] = cluster.registry.nodes();
      if (gone === undefined) throw new Error("no node");
      cluster.registry.membership.remove(gone.url);
      cluster.join("later");
      cluster.warmUp();
      const homes = Array.from({ length: 10 }, (_, id) => visit(cluster, id));
      expect(homes).not.toContain(gone);
      for (const node of cluster.registry.nodes()) expect(cluster.sessions?.on(node)).toBe(5);
    });

    test("a session ends when it is said so, or after two hours without a request", () => {
      const cluster = start();
      for (let id = 0; id < 8; id += 1) visit(cluster, id);
      cluster.sessions?.finish(3);
      expect(cluster.sessions?.size).toBe(7);
      const open = begin(cluster, 1);
      cluster.time.advance(SESSION_TIMEOUT_MS - 1);
      open.end(OK);
      visit(cluster, 0);
      cluster.time.advance(1);
      visit(cluster, null);
      // Those that were used since.
      expect(cluster.sessions?.size).toBe(2);
      cluster.time.advance(SESSION_TIMEOUT_MS);
      for (const node of cluster.registry.nodes()) expect(cluster.sessions?.on(node)).toBe(0);
    });
  });

  test.each(["round_robin", "random", "prefix_aware", "consistent_hash"] as const)(
    "--sticky over %s: sessions stay, others go as ever",
    (name) => {
      const cluster = new Cluster({ ...kept, nodes: 4, strategy: withSessions(name) });
      const homes = Array.from({ length: 20 }, (_, id) => visit(cluster, id));
      expect(new Set(homes).size).toBeGreaterThan(1);
      for (const [id, home] of homes.entries()) {
        visit(cluster, null);
        expect(visit(cluster, id)).toBe(home);
      }
      const others = Array.from({ length: 40 }, () => visit(cluster, null));
      expect(new Set(others).size).toBeGreaterThan(1);
    },
  );

  test("one session has a node for each model", () => {
    const cluster = new Cluster({ ...kept, strategy: "sticky_least_loaded" });
    for (const [name, model] of [
      ["a1", "a"],
      ["a2", "a"],
      ["b1", "b"],
      ["b2", "b"],
    ] as const) {
      cluster.join(name, { models: [model] });
    }
    cluster.warmUp();
    const ask = (model: string, number: number) => {
      const wanted = {
        model,
        role: "Hybrid",
        asked: asking(1, number),
        tried: new Set<Node>(),
      } as const;
      const lease = cluster.registry.acquire(wanted);
      if (!(lease instanceof Lease)) throw new Error(lease);
      return answered(lease);
    };
    const [a, b] = [ask("a", 1), ask("b", 2)];
    for (let turn = 0; turn < 5; turn += 1) {
      expect(ask("a", 1)).toBe(a);
      expect(ask("b", 2)).toBe(b);
    }
  });

  test("requests that name no model are the session's all the same", () => {
    const cluster = new Cluster({ ...kept, nodes: 4, strategy: "sticky_least_loaded" });
    const ask = (id: number, model: number) =>
      answered(cluster.lease({ asked: asking(id, model) }));
    for (let id = 0; id < 20; id += 1) {
      const home = ask(id, id % 2 === 0 ? 0 : 5);
      expect([ask(id, 5), ask(id, 0), ask(id, 5)]).toEqual([home, home, home]);
    }
  });
});

test("in several processes, each bucket forgets whom it had longest ago, and a count left behind is counted anew", () => {
  const memory = new Uint8Array(SESSION_BYTES);
  let nowMs = 0;
  const options = { wallMs: () => nowMs, idleMs: SESSION_TIMEOUT_MS };
  const [mine, theirs] = [1, 2].map((row) => new SessionTable(memory, { ...options, row }));
  if (mine === undefined || theirs === undefined) throw new Error("there are two");
  const sameBucket = (at: number) => ({ id: at * 2 ** 20, model: 1 });
  for (let at = 0; at < 20; at += 1) {
    nowMs += 1;
    mine.put(sameBucket(at), "Hybrid", at % 2);
  }
  const homes = Array.from({ length: 20 }, (_, at) => theirs.find(sameBucket(at), "Hybrid"));
  expect(homes).toEqual(Array.from({ length: 20 }, (_, at) => (at < 4 ? null : at % 2)));
  expect([theirs.on(0), theirs.on(1), theirs.size]).toEqual([8, 8, 16]);
  // One is killed while it holds the lock and has counted a session that it had not written down.
  const numbers = new Int32Array(memory.buffer);
  numbers[0] = 2;
  numbers[16] = 9;
  theirs.left(1);
  expect(theirs.on(0)).toBe(8);
  // A node's slot is another's.
  theirs.sweep(1);
  expect([mine.on(0), mine.on(1), mine.find(sameBucket(19), "Hybrid")]).toEqual([8, 0, null]);
});

test("never more than it may keep, and every count is the number of sessions", () => {
  const step = fc.oneof(
    { weight: 8, arbitrary: fc.record({ ask: fc.nat(30), model: fc.nat(12), node: fc.nat(3) }) },
    { weight: 1, arbitrary: fc.record({ finish: fc.nat(30) }) },
    { weight: 1, arbitrary: fc.record({ wait: fc.nat(200) }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      let nowMs = 0;
      const sessions = new Sessions({ now: () => nowMs, idleMs: 300, mostSessions: 20 });
      const cluster = new Cluster({ nodes: 4 });
      const nodes = cluster.registry.nodes();
      cluster.registry.subscribe(sessions.listener);
      for (const one of steps) {
        if ("finish" in one) sessions.finish(one.finish);
        else if ("wait" in one) nowMs += one.wait;
        else {
          const chosen = nodes[one.node];
          cluster.acquire({
            asked: asking(one.ask, one.model),
            among: (node) => node === chosen,
          });
        }
        expect(sessions.size).toBeLessThanOrEqual(20);
        const places = nodes.map((node) => sessions.on(node));
        expect(Math.min(...places)).toBeGreaterThanOrEqual(0);
        const all = places.reduce((sum, count) => sum + count, 0);
        expect(all).toBeWithin(sessions.size, 8 * sessions.size + 1);
      }
      nowMs += 300;
      for (const node of nodes) expect(sessions.on(node)).toBe(0);
      expect(sessions.size).toBe(0);
    }),
    runs(60),
  );
});
