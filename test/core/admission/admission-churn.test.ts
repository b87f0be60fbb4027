import { expect, test } from "bun:test";
import fc from "fast-check";
import { Lease } from "../../../src/core/pool/lease.ts";
import { answered, CANCELLED, LOST, OK } from "../../../src/lab/cluster.ts";
import { runs } from "../fuzz.ts";
import { type Asker, Gate, heard } from "./gate.ts";

const MAX_CONCURRENCY = 5;
const MAX_PER_CLIENT = 3;
const MAX_PER_NODE = 2;
const QUEUE_SIZE = 8;

const which = fc.nat(100);
const anyStep = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("ask" as const),
      model: fc.constantFrom("a", "b", "x"),
      client: fc.constantFrom("p", "q", "r"),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constantFrom("end" as const, "drop" as const),
      which,
      outcome: fc.constantFrom(OK, OK, OK, CANCELLED, LOST, answered(503, 1_500)),
    }),
  },
  fc.record({ kind: fc.constantFrom("retry" as const, "leave" as const), which }),
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("happen" as const),
      node: fc.constantFrom("n0", "n1", "n2"),
      what: fc.constantFrom("ok", "ok", "ok", "refused", "drain", "remove", "register"),
    }),
  },
  fc.record({ kind: fc.constant("wait" as const), ms: fc.constantFrom(1, 400, 2_500, 9_000) }),
);
type Step = typeof anyStep extends fc.Arbitrary<infer T> ? T : never;
const anySteps = fc.array(anyStep, { minLength: 1, maxLength: 120, size: "max" });

/** A request, and what is still to be given back for it. */
interface Tracked {
  readonly asker: Asker;
  readonly model: string;
  readonly client: string;
  /** The leases it has had; the first when it is in. */
  readonly leases: Lease[];
  dropped: boolean;
}

class Churn {
  readonly gate = new Gate(
    {
      maxConcurrency: MAX_CONCURRENCY,
      maxPerClient: MAX_PER_CLIENT,
      queueSize: QUEUE_SIZE,
      queueTimeoutMs: 20_000,
    },
    { maxInFlightPerNode: MAX_PER_NODE },
  );
  readonly requests: Tracked[] = [];

  constructor() {
    this.gate.cluster.join("n0", { models: ["a"] });
    this.gate.cluster.join("n1", { models: ["a", "b"] });
    this.gate.cluster.join("n2", { models: ["b"] });
  }

  async step(step: Step): Promise<void> {
    const { gate } = this;
    if (step.kind === "ask") {
      const { model, client } = step;
      this.requests.push({ asker: gate.ask(step), model, client, leases: [], dropped: false });
    } else if (step.kind === "wait") {
      gate.cluster.time.advance(step.ms);
    } else if (step.kind === "happen") {
      this.#happen(step.node, step.what);
    } else {
      this.#act(step);
    }
    await heard();
    for (const { asker, leases } of this.requests) {
      if (asker.place !== null && leases.length === 0) leases.push(asker.place.lease);
    }
  }

  #happen(name: string, what: string): void {
    const { cluster } = this.gate;
    const node = cluster.registry.get(`http://${name}`);
    const models = name === "n0" ? ["a"] : name === "n1" ? ["a", "b"] : ["b"];
    if (what === "register") cluster.register(name, { models });
    else if (node !== undefined) cluster.play(node, what);
  }

  #act(step: Extract<Step, { which: number }>): void {
    const { cluster } = this.gate;
    if (step.kind === "leave") {
      this.requests[step.which % Math.max(this.requests.length, 1)]?.asker.leave();
      return;
    }
    const running = this.requests.filter((request) => this.holds(request));
    const request = running[step.which % Math.max(running.length, 1)];
    if (request === undefined) return;
    const last = request.leases.at(-1);
    if (step.kind === "end") {
      last?.end(step.outcome);
    } else if (step.kind === "drop") {
      if (!request.dropped) request.asker.place?.drop();
      request.dropped = true;
    } else if (!request.dropped && last !== undefined) {
      last.end(LOST);
      const lease = cluster.acquire({ model: request.model, tried: new Set([last.node]) });
      if (!(lease instanceof Lease)) return;
      request.asker.place?.hold(lease);
      request.leases.push(lease);
    }
  }

  /** Whether the request still has to give its place back. */
  holds({ asker, leases, dropped }: Tracked): boolean {
    return asker.place !== null && (!dropped || leases.some(({ outcome }) => outcome === null));
  }

  check(): void {
    const { admission, cluster } = this.gate;
    const holding = this.requests.filter((request) => this.holds(request));
    expect(admission.running).toBe(holding.length);
    expect(holding.length).toBeLessThanOrEqual(MAX_CONCURRENCY);
    for (const client of ["p", "q", "r"]) {
      const own = holding.filter((request) => request.client === client);
      expect(own.length).toBeLessThanOrEqual(MAX_PER_CLIENT);
    }
    const waiting = this.requests.filter(({ asker }) => asker.state === "waits");
    expect(admission.waiting).toBe(waiting.length);
    expect(waiting.length).toBeLessThanOrEqual(QUEUE_SIZE);
    const open = this.requests.flatMap(({ leases }) =>
      leases.filter((one) => one.outcome === null),
    );
    const inFlight = cluster.registry.nodesInUse().reduce((sum, node) => sum + node.inFlight, 0);
    expect(inFlight).toBe(open.length);
    for (const node of cluster.registry.nodesInUse()) {
      expect(node.inFlight).toBeLessThanOrEqual(MAX_PER_NODE);
    }
    this.#checkOrder(waiting);
  }

  /** Nobody waits while one of the same model and client that came later is in. */
  #checkOrder(waiting: readonly Tracked[]): void {
    for (const one of waiting) {
      const later = this.requests.slice(this.requests.indexOf(one) + 1);
      const overtook = later.some(
        ({ asker, model, client }) =>
          asker.place !== null && model === one.model && client === one.client,
      );
      expect(overtook, "first come, first served").toBe(false);
    }
  }

  /** Everybody finishes, or waits in vain. */
  async end(): Promise<void> {
    for (let round = 0; round < 60; round += 1) {
      for (const request of this.requests.filter((one) => this.holds(one))) {
        for (const lease of request.leases) lease.end(CANCELLED);
        if (!request.dropped) request.asker.place?.drop();
        request.dropped = true;
      }
      await this.step({ kind: "wait", ms: 400 });
    }
  }
}

test("whatever happens, places are given back exactly once, limits hold, and nobody is forgotten", async () => {
  const seen = { waited: 0, refused: 0, left: 0, retried: 0 };
  await fc.assert(
    fc.asyncProperty(anySteps, async (steps) => {
      const churn = new Churn();
      for (const step of steps) {
        await churn.step(step);
        churn.check();
        if (step.kind === "ask" && churn.requests.at(-1)?.asker.state === "waits") seen.waited += 1;
      }
      await churn.end();
      churn.check();
      const { admission, cluster } = churn.gate;
      expect({ running: admission.running, waiting: admission.waiting }).toEqual({
        running: 0,
        waiting: 0,
      });
      expect(cluster.time.pending).toBe(0);
      const states = churn.requests.map(({ asker }) => asker.state);
      expect(states).not.toContain("waits");
      seen.refused += states.filter((state) => state.startsWith("503")).length;
      seen.left += states.filter((state) => state === "gone").length;
      seen.retried += churn.requests.filter(({ leases }) => leases.length > 1).length;
    }),
    runs(150),
  );
  expect(Math.min(seen.waited, seen.refused, seen.left, seen.retried)).toBeGreaterThan(10);
});
