import { describe, expect, test } from "bun:test";
import { ProxyError } from "../../../src/core/errors.ts";
import type { Node } from "../../../src/core/pool/node.ts";
import { Signal } from "../../../src/core/signal.ts";
import { NOTHING_ASKED } from "../../../src/core/strategies/strategy.ts";
import { OK } from "../../../src/lab/cluster.ts";
import { type Asker, Gate, heard } from "./gate.ts";

const states = (askers: readonly Asker[]) => askers.map(({ state }) => state);

describe("a node that is still starting", () => {
  test("is waited for, and gets the request as soon as a probe passes", async () => {
    const gate = new Gate({}, {});
    const node = gate.cluster.register("n0");
    const asker = gate.ask();
    await gate.pass(1_999);
    expect(asker.state).toBe("waits");
    gate.cluster.pass(node);
    await heard();
    expect(asker.state).toBe("in");
    expect(node.inFlight).toBe(1);
  });

  test("is waited for up to 2 s, also by those who came behind", async () => {
    const gate = new Gate({}, {});
    gate.cluster.register("n0");
    const first = gate.ask();
    await gate.pass(500);
    const second = gate.ask();
    await gate.pass(1_499);
    expect(states([first, second])).toEqual(["waits", "waits"]);
    await gate.pass(1);
    expect(states([first, second])).toEqual(["503 service_unavailable", "waits"]);
    await gate.pass(500);
    expect(second.state).toBe("503 service_unavailable");
    expect(gate.admission.waiting).toBe(0);
  });

  test("and then full: the rest of the time in the queue", async () => {
    const gate = new Gate({ queueTimeoutMs: 10_000 }, { maxInFlightPerNode: 1 });
    const node = gate.cluster.register("n0");
    const [first, second, third] = [gate.ask(), gate.ask(), gate.ask()];
    await gate.pass(1_000);
    gate.cluster.pass(node);
    await gate.pass(8_999);
    expect(states([first, second, third])).toEqual(["in", "waits", "waits"]);
    first.finish();
    await gate.pass(1);
    expect(states([second, third])).toEqual(["in", "503 service_unavailable"]);
  });
});

describe("the queue", () => {
  test("takes so many and no more: 503 for the cluster, 429 for the client's own limit", async () => {
    const gate = new Gate({ maxConcurrency: 2, maxPerClient: 1, queueSize: 2 });
    gate.ask({ client: "x" });
    expect(states([gate.ask({ client: "x" }), gate.ask({ client: "x" })])).toEqual([
      "waits",
      "waits",
    ]);
    const tooMany = gate.ask({ client: "x" });
    const other = gate.ask({ client: "y" });
    // It gets the second place of the client that has two.
    const shared = gate.ask({ client: "z" });
    const full = gate.ask({ client: "w" });
    await heard();
    expect(states([tooMany, other, shared, full])).toEqual([
      "429 rate_limit_exceeded",
      "in",
      "waits",
      "503 service_unavailable",
    ]);
    expect(tooMany.refused instanceof ProxyError && tooMany.refused.options.retryAfterS).toBe(1);
    expect(gate.admission.waiting).toBe(2);
  });

  test("shares its places out among the clients that want them", async () => {
    const gate = new Gate({ maxConcurrency: 1, queueSize: 6 });
    gate.ask({ client: "first" });
    const greedy = Array.from({ length: 8 }, () => gate.ask({ client: "greedy" }));
    await heard();
    const waiting = (askers: readonly { readonly state: string }[]) =>
      askers.map(({ state }) => state).filter((state) => state === "waits").length;
    expect(waiting(greedy)).toBe(6);
    const others = ["p", "q", "p", "q", "p", "q"].map((client) => gate.ask({ client }));
    await heard();
    expect([waiting(greedy), waiting(others)]).toEqual([2, 4]);
    expect(greedy.map(({ state }) => state)).toEqual([
      ...["waits", "waits"],
      ...Array.from({ length: 6 }, () => "503 service_unavailable"),
    ]);
    expect(gate.ask({ client: "greedy" }).state).toBe("waits");
    await heard();
    expect([waiting(greedy), waiting(others), gate.admission.waiting]).toEqual([2, 4, 6]);
  });

  test("of no size refuses at once", async () => {
    const gate = new Gate({ maxConcurrency: 1, queueSize: 0 });
    gate.ask();
    const asker = gate.ask();
    await heard();
    expect(asker.state).toBe("503 service_unavailable");
  });

  test("does not keep anybody longer than its time, and counts them no more", async () => {
    const gate = new Gate({ maxConcurrency: 1, queueTimeoutMs: 5_000 });
    const first = gate.ask();
    const asker = gate.ask();
    await gate.pass(4_999);
    expect(asker.state).toBe("waits");
    await gate.pass(1);
    expect(asker.state).toBe("503 service_unavailable");
    expect(gate.admission.waiting).toBe(0);
    first.finish();
    expect(gate.admission.running).toBe(0);
  });

  test("may be left at any time", async () => {
    const gate = new Gate({ maxConcurrency: 1 });
    const first = gate.ask();
    const [second, third] = [gate.ask(), gate.ask()];
    second.leave();
    first.finish();
    await heard();
    expect([second.state, third.state]).toEqual(["gone", "in"]);
    expect(gate.admission.waiting).toBe(0);
  });

  test("keeps no place for one who leaves in the turn in which it would have got it", async () => {
    for (const leaveFirst of [true, false]) {
      const gate = new Gate({ maxConcurrency: 1 });
      const first = gate.ask();
      const second = gate.ask();
      if (leaveFirst) second.leave();
      first.finish();
      if (!leaveFirst) second.leave();
      await heard();
      second.finish();
      expect(second.state).toBe(leaveFirst ? "gone" : "in");
      expect({ running: gate.admission.running, next: gate.ask().state }).toEqual({
        running: 0,
        next: "in",
      });
    }
  });

  test("holds those whose nodes all went, until one comes back", async () => {
    const gate = new Gate({}, { nodes: 1, maxInFlightPerNode: 1 });
    const first = gate.ask();
    const waiting = gate.ask();
    gate.cluster.registry.membership.remove("http://n0");
    await gate.pass(3_000);
    expect(waiting.state).toBe("waits");
    gate.cluster.join("n1");
    await heard();
    expect(waiting.state).toBe("in");
    first.finish();
    expect(gate.cluster.registry.nodesInUse()).toHaveLength(1);
  });

  test("looks again by itself: a pass-over ends without anybody being told", async () => {
    const gate = new Gate({}, { nodes: 2, maxInFlightPerNode: 1 });
    const [busy] = [gate.ask(), gate.ask()];
    const { node } = busy.place?.lease ?? gate.cluster.lease();
    busy.place?.lease.end({ kind: "answered", status: 503, retryAfterMs: 4_000 });
    const waiting = gate.ask();
    await gate.pass(3_500);
    expect(waiting.state).toBe("waits");
    await gate.pass(1_000);
    expect(waiting.state).toBe("in");
    expect(node.inFlight).toBe(1);
  });

  test("leaves no timer behind", async () => {
    const gate = new Gate({ maxConcurrency: 1 });
    const first = gate.ask();
    const [second, third] = [gate.ask(), gate.ask()];
    second.leave();
    first.finish();
    await heard();
    third.finish();
    await gate.pass(1_000);
    expect(gate.cluster.time.pending).toBe(0);
  });
});

describe("shutting down", () => {
  test("refuses all who wait, and nobody who is in", async () => {
    const gate = new Gate({ maxConcurrency: 1 });
    const askers = [gate.ask(), gate.ask(), gate.ask()];
    gate.admission.close();
    await heard();
    expect(states(askers)).toEqual(["in", "503 service_unavailable", "503 service_unavailable"]);
    const refused = askers[1]?.refused;
    expect(refused instanceof ProxyError && refused.options.close).toBe(true);
  });

  test("can be waited for", async () => {
    const gate = new Gate({ maxConcurrency: 1 });
    const askers = [gate.ask(), gate.ask()];
    let idle = false;
    const waited = gate.admission.idle().then(() => (idle = true));
    for (const asker of askers) {
      await heard();
      expect(idle).toBe(false);
      asker.finish();
    }
    await waited;
    expect(gate.admission.running).toBe(0);
  });
});

describe("a request that only one node can answer", () => {
  test("waits for it, and nobody waits behind who may go elsewhere", async () => {
    const gate = new Gate({}, { nodes: 2, maxInFlightPerNode: 1 });
    const [one, two] = gate.cluster.registry.nodes();
    if (one === undefined || two === undefined) throw new Error("no nodes");
    const running = gate.ask({ only: one });
    const waiting = [gate.ask({ only: one }), gate.ask({ only: one })];
    await heard();
    expect(states(waiting)).toEqual(["waits", "waits"]);
    const other = gate.ask();
    expect(other.place?.lease.node).toBe(two);
    running.finish();
    await heard();
    expect(states(waiting)).toEqual(["in", "waits"]);
    expect(waiting[0]?.place?.lease.node).toBe(one);
  });

  test("is refused while that one is out", () => {
    const gate = new Gate({}, { nodes: 2 });
    const [one] = gate.cluster.registry.nodes();
    if (one === undefined) throw new Error("no node");
    gate.cluster.refuse(one);
    gate.cluster.refuse(one);
    expect(gate.ask({ only: one }).state).toBe("503 service_unavailable");
    expect(gate.ask().state).toBe("in");
  });
});

describe("a further step of an admitted request", () => {
  function further(gate: Gate) {
    const wanted = {
      model: "m",
      role: "Decode",
      asked: NOTHING_ASKED,
      tried: new Set<Node>(),
    } as const;
    const signal = new Signal();
    return gate.admission.proceed(wanted, "c", signal, () => gate.cluster.acquire(wanted));
  }

  test("waits for a node without a place of its own, first come, first served", async () => {
    const gate = new Gate({ maxConcurrency: 1, queueSize: 0 }, { maxInFlightPerNode: 1 });
    const node = gate.cluster.join("d0", { role: "Decode" });
    const running = gate.cluster.lease({ role: "Decode" });
    const leases = [further(gate), further(gate)].map(async (step) => (await step).lease);
    await heard();
    expect({ waiting: gate.admission.waiting, running: gate.admission.running }).toEqual({
      waiting: 2,
      running: 0,
    });
    running.end(OK);
    const first = await leases[0];
    expect(first?.node).toBe(node);
    expect(gate.admission.waiting).toBe(1);
    first?.end(OK);
    expect((await leases[1])?.node).toBe(node);
  });
});
