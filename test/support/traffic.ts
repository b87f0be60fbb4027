import { Lease, type Outcome } from "../../src/core/pool/lease.ts";
import type { Node } from "../../src/core/pool/node.ts";
import type { Cluster } from "../../src/lab/cluster.ts";

/** How an engine treats a request in these simulations. */
export interface SimulatedAnswer {
  /** Mean of the (exponential) time it takes, ms. */
  readonly meanMs: number;
  readonly outcome: Outcome;
}

interface TrafficOptions {
  /** Requests that come in a second, at even distances. */
  readonly perSecond: number;
  readonly seconds: number;
  /** What the node does with the request that is its `nth`, counted from 0. */
  readonly answer: (node: Node, nth: number) => SimulatedAnswer;
  /** Called when a request was given to a node. */
  readonly onSent?: (lease: Lease) => void;
}

/**
 * Sends a steady stream of requests, one attempt each, through the cluster's registry in virtual time.
 * @returns How many requests each node got.
 */
export function traffic(cluster: Cluster, options: TrafficOptions): Map<Node, number> {
  const { time, random, registry } = cluster;
  const counts = new Map<Node, number>(registry.nodes().map((node) => [node, 0]));
  for (let i = 0; i < options.perSecond * options.seconds; i += 1) {
    time.advance(1_000 / options.perSecond);
    const lease = cluster.acquire();
    if (!(lease instanceof Lease)) continue;
    const nth = counts.get(lease.node) ?? 0;
    counts.set(lease.node, nth + 1);
    options.onSent?.(lease);
    const { meanMs, outcome } = options.answer(lease.node, nth);
    time.after(-meanMs * Math.log(1 - random()), () => {
      if (outcome.kind === "answered") lease.piece(time.nowMs);
      lease.end(outcome);
    });
  }
  return counts;
}
