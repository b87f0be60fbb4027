import { expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { Lease, type Outcome } from "../../../src/core/pool/lease.ts";
import type { Node } from "../../../src/core/pool/node.ts";
import {
  answered,
  CANCELLED,
  Cluster,
  LOST,
  OK,
  REFUSED,
  TIMEOUT,
} from "../../../src/lab/cluster.ts";
import { runs } from "../fuzz.ts";

setDefaultTimeout(60_000);

const NAMES = ["n0", "n1", "n2", "n3"];
const OUTCOMES: readonly Outcome[] = [
  OK,
  answered(404),
  answered(500),
  answered(500),
  answered(500),
  answered(503, 2_000),
  REFUSED,
  LOST,
  TIMEOUT,
  CANCELLED,
];
const HAPPENINGS = ["refused", "timeout", "timeout+", "register", "drain", "remove"];
/** Mostly they are well, or nothing would ever be sent. */
const anyHappening = fc.oneof(
  { weight: 2, arbitrary: fc.constant("ok") },
  fc.constantFrom(...HAPPENINGS),
);

const name = fc.constantFrom(...NAMES);
const which = fc.nat(200);
const anyStep = fc.oneof(
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("join" as const), name }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("happen" as const),
      name,
      what: anyHappening,
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("acquire" as const),
      tried: fc.subarray(NAMES, { maxLength: 3 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("end" as const),
      which,
      outcome: fc.constantFrom(...OUTCOMES),
    }),
  },
  fc.record({ kind: fc.constant("byte" as const), which }),
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("wait" as const),
      ms: fc.constantFrom(1, 300, 1_000, 12_000),
    }),
  },
);
type Step = typeof anyStep extends fc.Arbitrary<infer T> ? T : never;

const anySteps = fc.array(anyStep, { minLength: 1, maxLength: 200, size: "max" });

const LIMIT = 4;

/** A cluster under churn, and a count of its own of what is open where. */
class Churn {
  readonly cluster = new Cluster({ maxInFlightPerNode: LIMIT });
  /** Every lease ever had, ended or not. */
  readonly leases: Lease[] = [];
  readonly open = new Set<Lease>();
  heardEnded = 0;

  constructor() {
    this.cluster.registry.subscribe({ leaseEnded: () => (this.heardEnded += 1) });
  }

  step(step: Step): void {
    const { registry, time } = this.cluster;
    if (step.kind === "join") {
      this.cluster.register(step.name);
    } else if (step.kind === "happen") {
      const node = registry.get(`http://${step.name}`);
      if (node !== undefined) this.cluster.play(node, step.what);
    } else if (step.kind === "acquire") {
      this.#acquire(step.tried);
    } else if (step.kind === "wait") {
      time.advance(step.ms);
    } else {
      const lease = this.leases[step.which % Math.max(this.leases.length, 1)];
      if (step.kind === "byte") lease?.piece(time.nowMs);
      else if (lease !== undefined) this.end(lease, step.outcome);
    }
  }

  #acquire(names: readonly string[]): void {
    const { registry, time } = this.cluster;
    const tried = new Set(registry.nodes().filter(({ url }) => names.includes(url.slice(7))));
    const trials = this.#openTrials();
    const lease = this.cluster.acquire({ tried });
    if (!(lease instanceof Lease)) return;
    const { node } = lease;
    expect(registry.get(node.url)).toBe(node);
    expect(tried.has(node)).toBe(false);
    if (lease.trial) expect(trials.has(node)).toBe(false);
    else expect(node.health.routable(time.nowMs)).toBe(!lease.lastResort);
    expect(node.health.lastResort).toBe(true);
    lease.sender = { evict: () => this.end(lease, CANCELLED) };
    this.leases.push(lease);
    this.open.add(lease);
  }

  /** Nodes with a trial under way that can still decide something. */
  #openTrials(): Set<Node> {
    const trials = [...this.open].filter(
      ({ trial, generation, node }) =>
        trial && generation === node.generation && node.health.outForConduct,
    );
    return new Set(trials.map(({ node }) => node));
  }

  /** Ends a lease, perhaps not for the first time. */
  end(lease: Lease, outcome: Outcome): void {
    const first = this.open.delete(lease);
    const before = lease.outcome;
    lease.end(outcome);
    expect(lease.outcome).toBe(first ? outcome : before);
  }

  check(): void {
    const counts = new Map<Node, number>();
    for (const { node } of this.open) counts.set(node, (counts.get(node) ?? 0) + 1);
    const inUse = new Set(this.cluster.registry.nodesInUse());
    for (const { node } of this.leases) expect(node.inFlight).toBe(counts.get(node) ?? 0);
    for (const [node, count] of counts) {
      expect(count).toBeLessThanOrEqual(LIMIT);
      expect(inUse.has(node), "a node with requests is forgotten").toBe(true);
    }
    for (const node of inUse) {
      const registered = this.cluster.registry.get(node.url) === node;
      expect(registered || node.inFlight > 0, "a node of no more use is kept").toBe(true);
    }
    expect(this.heardEnded).toBe(this.leases.length - this.open.size);
  }
}

test("whatever happens to nodes and requests, in flight is what is open, and nothing is left over", () => {
  fc.assert(
    fc.property(anySteps, (steps) => {
      const churn = new Churn();
      for (const step of steps) {
        churn.step(step);
        churn.check();
      }
      for (const lease of [...churn.open]) churn.end(lease, OK);
      churn.check();
      expect(churn.cluster.registry.nodesInUse()).toEqual(churn.cluster.registry.nodes());
    }),
    runs(300),
  );
});

test("the churn is one: requests are had, taken off dying nodes, and decided by trials", () => {
  const seen = { leases: 0, trials: 0, lastResorts: 0, evicted: 0 };
  fc.assert(
    fc.property(anySteps, (steps) => {
      const churn = new Churn();
      for (const step of steps) {
        const openBefore = churn.open.size;
        churn.step(step);
        if (step.kind === "happen" && churn.open.size < openBefore) seen.evicted += 1;
      }
      seen.leases += churn.leases.length;
      seen.trials += churn.leases.filter(({ trial }) => trial).length;
      seen.lastResorts += churn.leases.filter(({ lastResort }) => lastResort).length;
    }),
    runs(300),
  );
  expect(Math.min(seen.leases, seen.trials, seen.lastResorts, seen.evicted)).toBeGreaterThan(10);
});
