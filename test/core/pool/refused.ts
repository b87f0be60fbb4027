import { Lease } from "../../../src/core/pool/lease.ts";
import type { Node } from "../../../src/core/pool/node.ts";
import type { Asked } from "../../../src/core/strategies/strategy.ts";
import { answered, type Cluster, MODEL, OK } from "../../../src/lab/cluster.ts";

/** One request, tried on a peer where its first node's refusal asks for that. */
export function ask(
  cluster: Cluster,
  asked: Asked,
  isRefused: (node: Node) => boolean,
  status: number,
): { readonly isGood: boolean; readonly attempts: readonly Lease[] } {
  const { registry, time } = cluster;
  const tried = new Set<Node>();
  const wanted = { model: MODEL, role: "Hybrid", asked, tried } as const;
  const attempts: Lease[] = [];
  for (let lease = cluster.lease(wanted); ; ) {
    attempts.push(lease);
    time.advance(50);
    if (!isRefused(lease.node)) {
      lease.piece(time.nowMs);
      lease.end(OK);
      return { isGood: true, attempts };
    }
    const mayAsk = registry.mayAskPeer(lease, status, wanted);
    tried.add(lease.node);
    const next = mayAsk ? registry.acquire(wanted, lease) : null;
    lease.end(answered(status));
    if (!(next instanceof Lease)) return { isGood: false, attempts };
    lease = next;
  }
}
