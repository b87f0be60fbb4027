import { describe, expect, test } from "bun:test";
import { ProxyError } from "../../../src/core/errors.ts";
import { OK } from "../../../src/lab/cluster.ts";
import { type Asker, Gate, heard } from "./gate.ts";

const states = (askers: readonly Asker[]) => askers.map(({ state }) => state);

describe("without limits", () => {
  test("everybody gets in at once", () => {
    const gate = new Gate();
    const askers = Array.from({ length: 300 }, () => gate.ask());
    expect(new Set(states(askers))).toEqual(new Set(["in"]));
    expect(gate.admission.running).toBe(300);
    expect(gate.cluster.node("n0").inFlight).toBe(300);
  });

  test("an unknown model is told from one whose nodes cannot take requests", () => {
    const gate = new Gate();
    const unknown = gate.ask({ model: "x" });
    expect(unknown.state).toBe("404 model_not_found");
    expect(String(unknown.refused)).toContain("served are: m");
    gate.cluster.registry.membership.drain("http://n0");
    expect(gate.ask().state).toBe("503 service_unavailable");
    gate.cluster.registry.membership.remove("http://n0");
    expect(gate.ask({ model: null }).state).toBe("503 service_unavailable");
  });

  test("every refusal for now says when to come again", () => {
    const gate = new Gate();
    gate.cluster.registry.membership.drain("http://n0");
    const { refused } = gate.ask();
    expect(refused instanceof ProxyError && refused.options.retryAfterS).toBe(1);
  });
});

describe("a full cluster", () => {
  test("lets one in for each that is done, first come, first served", async () => {
    const gate = new Gate({ maxConcurrency: 2 });
    const askers = Array.from({ length: 5 }, () => gate.ask());
    expect(states(askers)).toEqual(["in", "in", "waits", "waits", "waits"]);
    expect(gate.cluster.node("n0").inFlight).toBe(2);
    askers[1]?.finish();
    await heard();
    expect(states(askers)).toEqual(["in", "in", "in", "waits", "waits"]);
    askers[0]?.finish();
    askers[2]?.finish();
    await heard();
    expect(states(askers)).toEqual(["in", "in", "in", "in", "in"]);
    expect(gate.cluster.node("n0").inFlight).toBe(2);
  });

  test("a place is free when the lease has ended and its holder lets go, in either order", async () => {
    const gate = new Gate({ maxConcurrency: 1 });
    const first = gate.ask();
    const second = gate.ask();
    const third = gate.ask();
    first.place?.lease.end(OK);
    await heard();
    expect(second.state).toBe("waits");
    first.place?.drop();
    await heard();
    expect(second.state).toBe("in");
    second.place?.drop();
    await heard();
    expect(third.state).toBe("waits");
    second.place?.lease.end(OK);
    await heard();
    expect(third.state).toBe("in");
  });

  test("a retry keeps the place that the request has", async () => {
    const gate = new Gate({ maxConcurrency: 1 }, { nodes: 2 });
    const first = gate.ask();
    const next = gate.ask();
    const retry = gate.cluster.lease();
    first.place?.hold(retry);
    first.finish();
    await heard();
    expect({ next: next.state, running: gate.admission.running }).toEqual({
      next: "waits",
      running: 1,
    });
    retry.end(OK);
    await heard();
    expect({ next: next.state, running: gate.admission.running }).toEqual({
      next: "in",
      running: 1,
    });
  });

  test("holding a lease that has ended already holds nothing", () => {
    const gate = new Gate({ maxConcurrency: 1 });
    const first = gate.ask();
    const ended = gate.cluster.lease();
    ended.end(OK);
    first.place?.hold(ended);
    first.finish();
    expect(gate.ask().state).toBe("in");
  });

  test("a full node holds up its own model alone", async () => {
    const gate = new Gate({}, { maxInFlightPerNode: 1 });
    gate.cluster.join("n0", { models: ["a"] });
    gate.cluster.join("n1", { models: ["b"] });
    const a = [gate.ask({ model: "a" }), gate.ask({ model: "a" })];
    const b = gate.ask({ model: "b" });
    expect([...states(a), b.state]).toEqual(["in", "waits", "in"]);
    b.finish();
    await heard();
    expect(a[1]?.state).toBe("waits");
    a[0]?.finish();
    await heard();
    expect(a[1]?.state).toBe("in");
  });

  test("one place for several models goes to who came first", async () => {
    const gate = new Gate({ maxConcurrency: 1 }, {});
    gate.cluster.join("n0", { models: ["a", "b"] });
    const first = gate.ask({ model: "a" });
    const waiting = ["b", "a", "b"].map((model) => gate.ask({ model }));
    const order: string[][] = [];
    for (const asker of [first, ...waiting]) {
      order.push(states(waiting));
      asker.finish();
      await heard();
    }
    expect(order).toEqual([
      ["waits", "waits", "waits"],
      ["in", "waits", "waits"],
      ["in", "in", "waits"],
      ["in", "in", "in"],
    ]);
  });

  test("a newcomer does not overtake those who wait, even if there is a place", async () => {
    const gate = new Gate({}, { nodes: 2, maxInFlightPerNode: 1 });
    const [first, second] = [gate.ask(), gate.ask()];
    const waiting = gate.ask();
    // A node comes back without anybody being told: its pass-over is over.
    second.place?.lease.end({ kind: "answered", status: 503, retryAfterMs: 3_100 });
    gate.cluster.time.advance(3_200);
    const newcomer = gate.ask();
    await gate.pass(300);
    expect(states([waiting, newcomer])).toEqual(["in", "waits"]);
    first.finish();
    await heard();
    expect(newcomer.state).toBe("in");
  });

  test("an unknown model is refused at once, however full it is", () => {
    const gate = new Gate({ maxConcurrency: 1, maxPerClient: 1 });
    gate.ask();
    expect(gate.ask({ model: "x" }).state).toBe("404 model_not_found");
    expect(gate.ask({ model: "x", client: "other" }).state).toBe("404 model_not_found");
  });
});

describe("a client's own limit", () => {
  test("holds up that client, and nobody behind it", async () => {
    const gate = new Gate({ maxPerClient: 1 });
    const [first, second, third] = ["x", "x", "x"].map((client) => gate.ask({ client }));
    const other = gate.ask({ client: "y" });
    expect([first?.state, second?.state, third?.state, other.state]).toEqual([
      "in",
      "waits",
      "waits",
      "in",
    ]);
    other.finish();
    await heard();
    expect(second?.state).toBe("waits");
    first?.finish();
    await heard();
    expect([second?.state, third?.state]).toEqual(["in", "waits"]);
  });

  test("lets others pass in the queue, when a place becomes free", async () => {
    const gate = new Gate({ maxConcurrency: 2, maxPerClient: 1 });
    const running = [gate.ask({ client: "x" }), gate.ask({ client: "y" })];
    const waiting = ["x", "z", "y"].map((client) => gate.ask({ client }));
    running[1]?.finish();
    await heard();
    expect(states(waiting)).toEqual(["waits", "in", "waits"]);
  });

  test("is forgotten with its last request", () => {
    const gate = new Gate({ maxPerClient: 1 });
    for (let i = 0; i < 5; i += 1) {
      const asker = gate.ask({ client: "x" });
      expect(asker.state).toBe("in");
      asker.finish();
    }
  });
});
