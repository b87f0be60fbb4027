/** What a node gets whose refusal is being tried on a peer. */
import { expect, test } from "bun:test";
import { Lease } from "../../../src/core/pool/lease.ts";
import type { Node } from "../../../src/core/pool/node.ts";
import { NOTHING_ASKED, type Strategy } from "../../../src/core/strategies/strategy.ts";
import { answered, Cluster, MODEL } from "../../../src/lab/cluster.ts";

const toTheFirst: Strategy = (_asked, [first]) => {
  if (first === undefined) throw new Error("nobody is there");
  return first;
};

/** Of `n0` so many requests are refused one after the other; the last is with a peer. */
function refuseAt(status: number, times: number) {
  const cluster = new Cluster({ nodes: 4, strategy: toTheFirst, seed: 1 });
  const wanted = () => {
    const tried = new Set<Node>();
    return { model: MODEL, role: "Hybrid", asked: NOTHING_ASKED, tried } as const;
  };
  let peer: Lease | null = null;
  for (let nth = 0; nth < times; nth += 1) {
    const asking = wanted();
    const lease = cluster.lease(asking);
    expect(lease.node.url).toBe("http://n0");
    asking.tried.add(lease.node);
    const next = nth === times - 1 ? cluster.registry.acquire(asking, lease) : null;
    lease.end(answered(status));
    peer = next instanceof Lease ? next : null;
  }
  if (peer === null) throw new Error("no peer was asked");
  return { cluster, peer, next: () => cluster.lease(wanted()).node.url };
}

test("a node gets nothing while a peer has no word yet on what it refused, and all that is its own from then on", () => {
  const { cluster, peer, next } = refuseAt(400, 2);
  expect(next()).not.toBe("http://n0");
  peer.answering(200);
  peer.piece(cluster.time.nowMs);
  expect(peer.outcome).toBeNull();
  expect(next()).toBe("http://n0");
});

test("what it does not get goes to none that has refused several itself of late", () => {
  const { cluster, next } = refuseAt(400, 2);
  expect(next()).toBe("http://n1");
  for (let nth = 0; nth < 2; nth += 1) cluster.send(cluster.node("n1"), answered(400));
  expect(next()).toBe("http://n2");
});

test("a single 404 that a peer is asked takes nothing from its node", () => {
  expect(refuseAt(404, 1).next()).toBe("http://n0");
});
