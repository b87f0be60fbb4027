/** Nodes that refuse, where a strategy brings all that is alike to one of them. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { Lease } from "../../../src/core/pool/lease.ts";
import type { Node } from "../../../src/core/pool/node.ts";
import { EMPTY } from "../../../src/core/pool/statuses.ts";
import { NOTHING_ASKED, type Strategy } from "../../../src/core/strategies/strategy.ts";
import { answered, CANCELLED, Cluster, MODEL, OK } from "../../../src/lab/cluster.ts";
import { seededRandom } from "../../../src/sim/model/seeded-random.ts";
import { times } from "../../support/ask.ts";
import { ask } from "./refused.ts";

setDefaultTimeout(60_000);

const SEEDS = times(20, null).map((_, i) => i + 1);
const CLIENTS = ["a", "b", "c"];

const toTheFirst: Strategy = (_asked, [first]) => {
  if (first === undefined) throw new Error("nobody is there");
  return first;
};

/** Sends `count` requests, one after the other, as `ask` does, until a node goes out. */
function play(
  count: number,
  seed: number,
  isRefused: (nth: number, url: string) => boolean,
  clients: readonly string[],
  status: number,
) {
  const cluster = new Cluster({ nodes: 4, strategy: toTheFirst, seed });
  const out: string[] = [];
  cluster.registry.subscribe({
    stateChanged: ({ url }, _from, to) => to === "unhealthy" && out.push(url),
  });
  const seen = { out, refused: 0, attempts: 0 };
  for (let nth = 0; nth < count && out.length === 0; nth += 1) {
    const client = clients[nth % clients.length] ?? "";
    const asked = { ...NOTHING_ASKED, client };
    const { isGood, attempts } = ask(cluster, asked, ({ url }) => isRefused(nth, url), status);
    if (!isGood) seen.refused += 1;
    seen.attempts += attempts.length;
    cluster.time.advance(200);
  }
  return seen;
}

const CASES = [400, 422, EMPTY].flatMap((status) => [1, 3].map((count) => ({ status, count })));

test.each(CASES)(
  "$count clients whose requests are good and bad ($status) take nobody out, and few are tried twice",
  ({ status, count }) => {
    const clients = CLIENTS.slice(0, count);
    // As one does that asks again for less when it is refused.
    const byTurns = (nth: number) => nth < 3 || nth % 2 === 0;
    for (const seed of SEEDS) {
      for (const bad of [0.1, 0.3, 0.5, 0.7, 0.9, 1]) {
        const random = seededRandom(seed);
        const isBad = times(400, null).map(() => random() < bad);
        const { out, attempts } = play(400, seed, (nth) => isBad[nth] === true, clients, status);
        expect(out).toEqual([]);
        expect(attempts).toBeLessThanOrEqual(460);
      }
      expect(play(100, seed, byTurns, clients, status).out).toEqual([]);
    }
  },
);

test.each(CASES)(
  "of one that refuses all $count clients get no refusal, or one that may have run, and it is out after three ($status)",
  ({ status, count }) => {
    for (const seed of SEEDS) {
      const refuses = (_: number, url: string) => url === "http://n0";
      const { out, refused, attempts } = play(20, seed, refuses, CLIENTS.slice(0, count), status);
      expect(out).toEqual(["http://n0"]);
      expect(refused).toBe(status === EMPTY ? 1 : 0);
      expect(attempts).toBe(6 - refused);
    }
  },
);

test.each(CASES)(
  "one that refuses all is found among requests of which all refuse half ($status)",
  ({ status }) => {
    for (const seed of SEEDS) {
      const random = seededRandom(seed);
      const isBad = times(1_000, null).map(() => random() < 0.5);
      const refuses = (nth: number, url: string) => isBad[nth] === true || url === "http://n0";
      for (const clients of [["one"], ["one", "another"]]) {
        const { out, attempts } = play(1_000, seed, refuses, clients, status);
        expect(out).toEqual(["http://n0"]);
        expect(attempts).toBeLessThan(150);
      }
    }
  },
);

test("as long as a peer computes what it refused, it gets nothing; but for no longer than some seconds", () => {
  const cluster = new Cluster({ nodes: 4, strategy: toTheFirst, seed: 1 });
  const { registry, time } = cluster;
  const first = cluster.node("n0");
  const refused = () => {
    const wanted = { model: MODEL, role: "Hybrid", asked: NOTHING_ASKED } as const;
    const tried = new Set<Node>();
    const lease = cluster.lease({ tried });
    expect(lease.node).toBe(first);
    const mayAsk = registry.mayAskPeer(lease, 400, { ...wanted, tried });
    tried.add(first);
    const next = mayAsk ? registry.acquire({ ...wanted, tried }, lease) : null;
    lease.end(answered(400));
    return next;
  };
  const asked = refused();
  expect(asked).toBeInstanceOf(Lease);
  // A single one is most likely its client's; nor is another one tried twice meanwhile.
  expect(refused()).toBeNull();
  const others = times(10, null).map(() => cluster.lease());
  expect(others.map(({ node }) => node)).not.toContain(first);
  time.advance(5_000);
  expect(refused()).toBeInstanceOf(Lease);
  expect(cluster.lease().node).not.toBe(first);
  if (asked instanceof Lease) asked.end(CANCELLED);
  expect(cluster.lease().node).not.toBe(first);
});

test.each([
  [400, "a"],
  [400, null],
  [EMPTY, "a"],
  [EMPTY, null],
])(
  "requests that all refuse (%d), brought to one node by a strategy, take it out for no client (%p), whatever others answer him",
  (status, client) => {
    for (const seed of SEEDS) {
      const cluster = new Cluster({ nodes: 4, strategy: "consistent_hash", seed });
      const send = (key: number, isGood: boolean) => {
        const asked = { ...NOTHING_ASKED, client, key };
        return ask(cluster, asked, () => !isGood, status).attempts;
      };
      const [home] = send(0, true);
      const other =
        times(20, null).findIndex((_, nth) => send(nth + 1, true)[0]?.node !== home?.node) + 1;
      let attempts = 0;
      for (let nth = 0; nth < 400; nth += 1) {
        const tried = send(nth % 2 === 0 ? other : 0, nth % 2 !== 0);
        attempts += tried.length;
        for (const { node } of tried) expect(node.health.state).toBe("healthy");
      }
      expect(attempts).toBeLessThan(440);
    }
  },
);

test.each([400, EMPTY])(
  "a trial that is refused, or gets nothing (%d), brings nobody back, and its client an answer all the same",
  (status) => {
    const cluster = new Cluster({ nodes: 4, strategy: toTheFirst, seed: 1 });
    const first = cluster.node("n0");
    /** The first node has nothing good to say until it is well. */
    const send = (isWell: boolean) =>
      ask(cluster, NOTHING_ASKED, (node) => !isWell && node === first, status);
    const isOut = () => first.health.state === "unhealthy";
    while (!isOut()) send(false);
    // Ever further apart, up to half a minute.
    const sent = times(400, null).map(() => {
      cluster.time.advance(150);
      return send(false);
    });
    expect(sent.every(({ isGood }) => isGood)).toBe(true);
    const trials = sent.flatMap(({ attempts }) => attempts).filter(({ trial }) => trial);
    expect(trials.length).toBeWithin(4, 8);
    expect(isOut()).toBe(true);
    cluster.time.advance(30_000);
    expect(send(true).attempts.map(({ trial }) => trial)).toEqual([true]);
    expect(isOut()).toBe(false);
  },
);

test("a trial that peers refuse, too, does not double the wait for the next, nor comes that at once", () => {
  const cluster = new Cluster({ nodes: 4, strategy: toTheFirst, seed: 1 });
  const first = cluster.node("n0");
  const send = (isRefused: (node: Node) => boolean) =>
    ask(cluster, NOTHING_ASKED, isRefused, 400).attempts.some(({ trial }) => trial);
  const isOut = () => first.health.state === "unhealthy";
  while (!isOut()) send((node) => node === first);
  for (let nth = 0; nth < 6; nth += 1) {
    cluster.time.advance(1_000);
    expect(send(() => true)).toBe(true);
    expect(send(() => true)).toBe(false);
  }
  cluster.time.advance(1_000);
  expect(send(() => false)).toBe(true);
  expect(isOut()).toBe(false);
});

test("what is refused is not to be tried on peers that are all full: it does not wait for them", () => {
  const cluster = new Cluster({ nodes: 2, strategy: toTheFirst, maxInFlightPerNode: 1 });
  const wanted = {
    model: MODEL,
    role: "Hybrid",
    asked: NOTHING_ASKED,
    tried: new Set<Node>(),
  } as const;
  const refused = cluster.lease(wanted);
  expect(cluster.registry.mayAskPeer(refused, 400, wanted)).toBe(true);
  const other = cluster.lease(wanted);
  expect(cluster.registry.mayAskPeer(refused, 400, wanted)).toBe(false);
  other.end(OK);
  expect(cluster.registry.mayAskPeer(refused, 400, wanted)).toBe(true);
});

/** A client asks 20 times a second, for what all refuse or nobody does; how often a node goes out that is as all others. */
function outsOfHealthy(nodes: number, seed: number, isBad: (nth: number) => boolean) {
  const cluster = new Cluster({ nodes, seed });
  const { time, random, registry } = cluster;
  const seen = { outs: 0, attempts: 0 };
  registry.subscribe({
    stateChanged: (_node, _from, to) => {
      if (to === "unhealthy") seen.outs += 1;
    },
  });
  const asked = { ...NOTHING_ASKED, client: "a" };
  for (let nth = 0; nth < 2_400; nth += 1) {
    time.advance(50);
    const tried = new Set<Node>();
    const wanted = { model: MODEL, role: "Hybrid", asked, tried } as const;
    const send = (lease: Lease) => {
      seen.attempts += 1;
      time.after(20 + 100 * random(), () => {
        if (!isBad(nth)) {
          lease.piece(time.nowMs);
          lease.end(OK);
          return;
        }
        const mayAsk = registry.mayAskPeer(lease, 400, wanted);
        tried.add(lease.node);
        const next = mayAsk ? registry.acquire(wanted, lease) : null;
        lease.end(answered(400));
        if (next instanceof Lease) send(next);
      });
    };
    send(cluster.lease(wanted));
  }
  return seen;
}

describe.each([2, 8])("of %d nodes that refuse the same", (nodes) => {
  test.each([0.1, 0.3, 0.5, 0.8, 1])("none is out for %d of one client's requests", (bad) => {
    for (const seed of SEEDS) {
      const random = seededRandom(seed);
      const isBad = times(2_400, null).map(() => random() < bad);
      const { outs, attempts } = outsOfHealthy(nodes, seed, (nth) => isBad[nth] === true);
      expect(outs).toBe(0);
      expect(attempts).toBeLessThan(2_400 * 1.1);
    }
  });

  test.each([1, 3, 10, 30])(
    "none is out for %d bad requests that come one after the other",
    (row) => {
      for (const seed of SEEDS) {
        const { outs } = outsOfHealthy(nodes, seed, (nth) => nth % 240 >= 240 - row);
        expect(outs).toBe(0);
      }
    },
  );
});

test("clients whose requests all refused a while ago make nobody slower to be found", () => {
  const cluster = new Cluster({ nodes: 4, strategy: toTheFirst, seed: 1 });
  for (const client of times(12, null).map((_, nth) => `bad ${nth}`)) {
    const asked = { ...NOTHING_ASKED, client };
    for (let nth = 0; nth < 80; nth += 1) ask(cluster, asked, () => true, 400);
  }
  cluster.time.advance(180_000);
  const first = cluster.node("n0");
  const asked = { ...NOTHING_ASKED, client: "good" };
  const refusals = times(4, null).map(() => ask(cluster, asked, (node) => node === first, 400));
  expect(first.health.state).toBe("unhealthy");
  expect(refusals.filter(({ isGood }) => !isGood).length).toBeLessThanOrEqual(1);
});
