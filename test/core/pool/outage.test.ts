import { expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { Lease, type Outcome } from "../../../src/core/pool/lease.ts";
import type { Node } from "../../../src/core/pool/node.ts";
import { RetryBudget, RetryState } from "../../../src/core/retry.ts";
import { answered, Cluster, LOST, REFUSED, TIMEOUT } from "../../../src/lab/cluster.ts";
import { runs } from "../fuzz.ts";

setDefaultTimeout(60_000);

/** A cluster that is asked for something, as the proxy asks it: with retries, and probes that follow failures. */
class Clients {
  readonly cluster: Cluster;
  requests = 0;
  /** Attempts that reached, or were to reach, an engine. */
  attempts = 0;
  readonly #budget = new RetryBudget();
  readonly #end: () => Outcome;

  /** @param healthy Whether probes pass all the while. */
  constructor(nodes: number, end: () => Outcome, healthy: boolean) {
    this.cluster = new Cluster({ nodes });
    this.#end = end;
    const { registry, time } = this.cluster;
    const probe = (node: Node) => (healthy ? this.cluster.pass(node) : this.cluster.refuse(node));
    registry.subscribe({ probeWanted: (node) => time.after(2, () => probe(node)) });
    const probeAll = () => {
      for (const node of registry.nodes()) probe(node);
      time.after(1_000, probeAll);
    };
    probeAll();
  }

  /** One request, until it is given up. */
  request(): void {
    const { cluster } = this;
    const { nowMs } = cluster.time;
    this.requests += 1;
    this.#budget.request(nowMs);
    const rules = { retry: true, retrySent: true };
    const state = new RetryState(rules, () => this.#budget.draw(nowMs));
    const tried = new Set<Node>();
    for (;;) {
      const lease = cluster.acquire({ tried });
      if (!(lease instanceof Lease)) return;
      this.attempts += 1;
      tried.add(lease.node);
      const outcome = this.#end();
      lease.end(outcome);
      if (lease.lastResort || !mayRetry(state, lease, outcome)) return;
    }
  }
}

function mayRetry(state: RetryState, { node, trial }: Lease, outcome: Outcome): boolean {
  const isOut = !trial && node.health.state !== "healthy";
  if (outcome.kind === "answered") return state.afterStatus(outcome.status);
  return outcome.kind !== "cancelled" && state.afterFailure(outcome.kind, isOut);
}

const OUTAGES: [what: string, end: Outcome, healthy: boolean, mostNodes: number][] = [
  ["every answer is 500", answered(500), true, 16],
  ["every answer is 502", answered(502), true, 16],
  ["every answer is 504", answered(504), true, 16],
  ["nothing is answered in time", TIMEOUT, true, 16],
  ["every connection is reset, probes pass", LOST, true, 16],
  ["every connection is reset, probes fail", LOST, false, 16],
  ["every connection is refused", REFUSED, false, 16],
  // Each node is asked once a second, however many retries that makes: beyond some nodes the
  // promise holds for busier models alone.
  ["every answer is 503", answered(503), true, 4],
  ["every answer is 503 with Retry-After", answered(503, 10_000), true, 16],
];

test.each(OUTAGES)(
  "when %s, engines see at most 1.2 times the requests and 3 a second",
  (_what, end, healthy, mostNodes) => {
    const anyOutage = fc.record({
      nodes: fc.integer({ min: 1, max: mostNodes }),
      perSecond: fc.constantFrom(1, 3, 10, 50, 200),
      seconds: fc.integer({ min: 1, max: 12 }),
    });
    fc.assert(
      fc.property(anyOutage, ({ nodes, perSecond, seconds }) => {
        const clients = new Clients(nodes, () => end, healthy);
        for (let i = 0; i < perSecond * seconds; i += 1) {
          clients.cluster.time.advance(1_000 / perSecond);
          clients.request();
        }
        // Those that take the nodes out one by one come on top, once.
        const most = 1.2 * clients.requests + 3 * (seconds + 1) + nodes;
        expect(clients.attempts).toBeLessThanOrEqual(most);
      }),
      runs(40),
    );
  },
);

test("in an outage every request is tried all the same, and the cluster comes back by itself", () => {
  let down = true;
  const clients = new Clients(4, () => (down ? LOST : answered(200)), true);
  for (let i = 0; i < 100; i += 1) {
    clients.cluster.time.advance(100);
    clients.request();
  }
  expect(clients.attempts).toBeGreaterThanOrEqual(100);
  down = false;
  // The longest wait for a trial, and then one request each.
  for (let i = 0; i < 320; i += 1) {
    clients.cluster.time.advance(100);
    clients.request();
  }
  const states = clients.cluster.registry.nodes().map(({ health }) => health.state);
  expect(states).toEqual(["healthy", "healthy", "healthy", "healthy"]);
});
