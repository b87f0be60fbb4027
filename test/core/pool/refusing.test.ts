/** Nodes that refuse, where a strategy brings all that is alike to one of them. */
import { describe, expect, test } from "bun:test";
import type { Wanted } from "../../../src/core/pool/choose.ts";
import type { Lease, Outcome } from "../../../src/core/pool/lease.ts";
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
  refusal: Outcome,
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
      lease.end(refusal);
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

/** A 200 without a piece of a body is an answer that holds nothing. */
const CASES = [400, 200].flatMap((status) =>
  [1, 3].map((count) => ({ refusal: answered(status), status, count })),
);

test.each(CASES)(
  "$count clients whose requests are good and bad ($status) take nobody out",
  ({ refusal, count }) => {
    const clients = CLIENTS.slice(0, count);
    // As one does that asks again for less when it is refused.
    const byTurns = (nth: number) => nth < 3 || nth % 2 === 0;
    for (const seed of SEEDS) {
      for (const take of [undefined, planned]) {
        for (const bad of [0.3, 0.5, 0.7, 0.9, 1]) {
          const random = seededRandom(seed);
          const isBad = times(400, null).map(() => random() < bad);
          const isRefused = (nth: number) => isBad[nth] === true;
          expect(play(400, seed, isRefused, clients, refusal, take).out).toEqual([]);
        }
        expect(play(100, seed, byTurns, clients, refusal, take).out).toEqual([]);
      }
    }
  },
);

test.each(CASES)(
  "one that refuses all, of $count clients, is found out ($status)",
  ({ refusal, count }) => {
    for (const seed of SEEDS) {
      const refuses = (_: number, url: string) => url === "http://n0";
      for (const take of [undefined, planned]) {
        const clients = CLIENTS.slice(0, count);
        const { out, refused } = play(200, seed, refuses, clients, refusal, take);
        expect(out).toEqual(["http://n0"]);
        expect(refused).toBeLessThan(40);
      }
    }
  },
);

test.each([
  [400, "a"],
  [400, null],
  [200, "a"],
  [200, null],
])(
  "requests that all refuse (%d), brought to one node by a strategy, take it out for no client (%p), whatever others answer him",
  (status, client) => {
    for (const seed of SEEDS) {
      const cluster = new Cluster({ nodes: 4, strategy: "consistent_hash", seed });
      const ask = (key: number, isGood: boolean) => {
        const lease = cluster.lease({ asked: { ...NOTHING_ASKED, client, key } });
        cluster.time.advance(100);
        if (isGood) lease.piece(cluster.time.nowMs);
        lease.end(isGood ? OK : answered(status));
        return lease.node;
      };
      const home = ask(0, true);
      const other = times(20, null).findIndex((_, nth) => ask(nth + 1, true) !== home) + 1;
      for (let nth = 0; nth < 400; nth += 1) {
        expect(ask(nth % 2 === 0 ? other : 0, nth % 2 !== 0).health.state).toBe("healthy");
      }
    }
  },
);

test.each([400, 200])(
  "a trial that is refused, or gets nothing (%d), brings nobody back",
  (status) => {
    const cluster = new Cluster({ nodes: 4, strategy: toTheFirst, seed: 1 });
    const first = cluster.node("n0");
    /** The first node has nothing good to say until it is well. */
    const ask = (isWell: boolean) => {
      const lease = cluster.lease({ asked: { ...NOTHING_ASKED, client: "a" } });
      const isGood = isWell || lease.node !== first;
      if (isGood) lease.piece(cluster.time.nowMs);
      lease.end(isGood ? OK : answered(status));
      return lease;
    };
    const isOut = () => first.health.state === "unhealthy";
    while (!isOut()) ask(false);
    // Ever further apart, up to half a minute.
    const leases = times(400, null).map(() => {
      cluster.time.advance(200);
      return ask(false);
    });
    expect(leases.filter(({ node }) => node === first).length).toBeWithin(4, 8);
    expect(isOut()).toBe(true);
    cluster.time.advance(30_000);
    expect(ask(true).trial).toBe(true);
    expect(isOut()).toBe(false);
  },
);

/** A client asks 20 times a second, for what all refuse or nobody does; how often a node goes out that is as all others. */
function outsOfHealthy(nodes: number, seed: number, isBad: (nth: number) => boolean): number {
  const cluster = new Cluster({ nodes, seed });
  const { time, random, registry } = cluster;
  let outs = 0;
  registry.subscribe({
    stateChanged: (_node, _from, to) => {
      if (to === "unhealthy") outs += 1;
    },
  });
  for (let nth = 0; nth < 2_400; nth += 1) {
    time.advance(50);
    const lease = cluster.lease({ asked: { ...NOTHING_ASKED, client: "a" } });
    const bad = isBad(nth);
    time.after(20 + 100 * random(), () => {
      if (!bad) lease.piece(time.nowMs);
      lease.end(bad ? answered(400) : OK);
    });
  }
  return outs;
}

describe.each([2, 8])("of %d nodes that refuse the same", (nodes) => {
  test.each([0.1, 0.3, 0.5, 0.8])("none is out for %d of one client's requests", (bad) => {
    for (const seed of SEEDS) {
      const random = seededRandom(seed);
      expect(outsOfHealthy(nodes, seed, () => random() < bad)).toBe(0);
    }
  });

  test("hardly any is out for bad requests that come one after the other", () => {
    // Two rows for each seed.
    const outs = SEEDS.map((seed) => outsOfHealthy(nodes, seed, (nth) => nth % 1_200 >= 1_180));
    expect(outs.reduce((sum, one) => sum + one, 0)).toBeLessThan(SEEDS.length);
  });
});
