/** Nodes that refuse, where a strategy brings all that is alike to one of them. */
import { expect, test } from "bun:test";
import type { Wanted } from "../../../src/core/pool/choose.ts";
import type { Lease } from "../../../src/core/pool/lease.ts";
import type { Node } from "../../../src/core/pool/node.ts";
import { NOTHING_ASKED, type Strategy } from "../../../src/core/strategies/strategy.ts";
import { answered, Cluster, MODEL, OK } from "../../../src/lab/cluster.ts";
import { seededRandom } from "../../../src/sim/model/seeded-random.ts";
import { times } from "../../support/ask.ts";

const SEEDS = times(20, null).map((_, i) => i + 1);
const CLIENTS = ["a", "b", "c"];

const toTheFirst: Strategy = (_asked, [first]) => {
  if (first === undefined) throw new Error("nobody is there");
  return first;
};

/** Sends `count` requests, one after the other, and returns how many were refused by each node, and who went out. */
function play(
  count: number,
  seed: number,
  isRefused: (nth: number, url: string) => boolean,
  clients: readonly string[],
  take: (cluster: Cluster, wanted: Partial<Wanted>) => Lease = (one, wanted) => one.lease(wanted),
) {
  const cluster = new Cluster({ nodes: 4, strategy: toTheFirst, seed });
  const out: string[] = [];
  cluster.registry.subscribe({
    stateChanged: ({ url }, _from, to) => to === "unhealthy" && out.push(url),
  });
  let refused = 0;
  for (let nth = 0; nth < count && out.length === 0; nth += 1) {
    const client = clients[nth % clients.length] ?? "";
    const lease = take(cluster, { asked: { ...NOTHING_ASKED, client } });
    cluster.time.advance(50);
    if (isRefused(nth, lease.node.url)) {
      refused += 1;
      lease.end(answered(400));
    } else {
      lease.piece(cluster.time.nowMs);
      lease.end(OK);
    }
    cluster.time.advance(200);
  }
  return { out, refused };
}

/** As with DistServe, where a node is reserved once it is known which goes with it. */
function planned(cluster: Cluster, wanted: Partial<Wanted>): Lease {
  const all = {
    model: MODEL,
    role: "Hybrid",
    asked: NOTHING_ASKED,
    tried: new Set<Node>(),
  } as const;
  const choice = cluster.registry.pick({ ...all, ...wanted });
  if (typeof choice === "string") throw new Error(choice);
  const { node, insteadOf } = choice;
  return cluster.lease({ ...wanted, among: (one) => one === node, insteadOf });
}

test.each([1, 3])("%d clients whose requests are good and bad take nobody out", (count) => {
  const clients = CLIENTS.slice(0, count);
  // As one does that asks again for less when it is refused.
  const byTurns = (nth: number) => nth < 3 || nth % 2 === 0;
  for (const seed of SEEDS) {
    for (const take of [undefined, planned]) {
      for (const bad of [0.3, 0.5, 0.7, 0.9]) {
        const random = seededRandom(seed);
        const isBad = times(400, null).map(() => random() < bad);
        expect(play(400, seed, (nth) => isBad[nth] === true, clients, take).out).toEqual([]);
      }
      expect(play(100, seed, byTurns, clients, take).out).toEqual([]);
    }
  }
});

test.each([1, 3])("one that refuses all, of %d clients, is found out", (clients) => {
  for (const seed of SEEDS) {
    const refuses = (_: number, url: string) => url === "http://n0";
    for (const take of [undefined, planned]) {
      const { out, refused } = play(200, seed, refuses, CLIENTS.slice(0, clients), take);
      expect(out).toEqual(["http://n0"]);
      expect(refused).toBeLessThan(40);
    }
  }
});
