/** Engines that say they are well, and answer nothing, or slowly: judged by what their peers answer. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { NOBODY_ELSE } from "../../../src/core/pool/elsewhere.ts";
import type { Node } from "../../../src/core/pool/node.ts";
import type { StrategyName } from "../../../src/core/strategies/index.ts";
import { STRATEGY_NAMES } from "../../../src/core/strategies/index.ts";
import type { Asked } from "../../../src/core/strategies/strategy.ts";
import { Cluster } from "../../../src/lab/cluster.ts";
import { keepWatch, type Seen, send } from "./patients.ts";

setDefaultTimeout(60_000);

function start(strategy: StrategyName, nodes = 4, seed = 1) {
  const cluster = new Cluster({ nodes, strategy, seed });
  keepWatch(cluster);
  return { cluster, odd: cluster.node("n0") };
}

const givenUp = ({ requests }: Seen) =>
  requests.filter(({ waitedMs }) => waitedMs === Number.POSITIVE_INFINITY).length;

const sentTo = ({ leases }: Seen, node: Node) => leases.filter((lease) => lease.node === node);

function p99(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length * 0.99)] ?? Number.NaN;
}

describe.each(STRATEGY_NAMES)("%s", (strategy) => {
  test.each([20, 2])(
    "one of four hangs, %d requests a second: its requests move, and no more come",
    (perSecond) => {
      const { cluster, odd } = start(strategy);
      const well = { perSecond, seconds: 20, firstWordMs: () => 300 };
      send(cluster, well);
      const hungAtMs = cluster.time.nowMs;
      const seen = send(cluster, {
        ...well,
        seconds: 40,
        firstWordMs: (node) => (node === odd ? Number.POSITIVE_INFINITY : 300),
      });
      cluster.time.advance(12_000);
      expect(givenUp(seen)).toBe(0);
      // The first is late after two seconds, or a little more for a lone one.
      const first = sentTo(seen, odd)[0]?.startedAtMs ?? hungAtMs;
      const later = sentTo(seen, odd).filter(({ startedAtMs }) => startedAtMs > first + 2_500);
      expect(later.filter(({ trial }) => !trial)).toEqual([]);
      expect(later.length).toBeLessThanOrEqual(6);
    },
  );

  test("one of four is ten times slower: its share is below 1.5 %, and it is found again", () => {
    const { cluster, odd } = start(strategy);
    const well = { perSecond: 20, firstWordMs: () => 300 };
    const before = send(cluster, { ...well, seconds: 30 });
    const slow = {
      perSecond: 20,
      restMs: 1_000,
      firstWordMs: (node: Node) => (node === odd ? 3_000 : 300),
    };
    send(cluster, { ...slow, seconds: 30 });
    const after = send(cluster, { ...slow, seconds: 60 });
    cluster.time.advance(10_000);
    expect(sentTo(after, odd).length / after.leases.length).toBeLessThan(0.015);
    const waits = (seen: Seen) => seen.requests.map(({ waitedMs }) => waitedMs);
    expect(p99(waits(after))).toBeLessThan(1.5 * p99(waits(before)));
    send(cluster, { ...well, seconds: 30 });
    const share = sentTo(send(cluster, { ...well, seconds: 20 }), odd).length / 400;
    expect(share).toBeGreaterThan(0.15);
  });

  test("one of eight is ten times slower, with prompts of all sizes: it gets a tenth of its share at most", () => {
    const { cluster, odd } = start(strategy, 8);
    const draw = cluster.random;
    const traffic = {
      perSecond: 40,
      patienceMs: 3_600_000,
      asked: () => ({ promptBytes: Math.round(2_000 * Math.exp(2 * (draw() + draw() - 1))) }),
    };
    const usualMs = ({ promptBytes }: Asked) => 200 + promptBytes / 30;
    send(cluster, { ...traffic, seconds: 20, firstWordMs: (_node, asked) => usualMs(asked) });
    const slow = (node: Node, asked: Asked) => (node === odd ? 10 : 1) * usualMs(asked);
    send(cluster, { ...traffic, seconds: 30, firstWordMs: slow });
    const after = send(cluster, { ...traffic, seconds: 20, firstWordMs: slow });
    expect(sentTo(after, odd).length).toBeLessThan(0.1 * (after.leases.length / 8));
  });

  test.each([1, 2])(
    "one of eight is ten times slower, where %d requests come a second: a tenth of its share at most, and it is found again",
    (perSecond) => {
      let [got, all] = [0, 0];
      for (let seed = 1; seed <= 3; seed += 1) {
        const { cluster, odd } = start(strategy, 8, seed);
        const draw = cluster.random;
        const asked = () => ({ promptBytes: 4_096, key: Math.floor(draw() * 2 ** 31) });
        const traffic = { perSecond, patienceMs: 3_600_000, asked };
        const slow = (node: Node) => (node === odd ? 3_500 : 350);
        send(cluster, { ...traffic, seconds: 60, firstWordMs: () => 350 });
        send(cluster, { ...traffic, seconds: 30, firstWordMs: slow });
        const after = send(cluster, { ...traffic, seconds: 120, firstWordMs: slow });
        got += sentTo(after, odd).length;
        all += after.leases.length;
        send(cluster, { ...traffic, seconds: 120, firstWordMs: () => 350 });
        expect(odd.health.state).toBe("healthy");
      }
      expect(got).toBeLessThan(0.1 * (all / 8));
    },
  );

  test("prompts of all sizes, answers of all lengths: nobody is taken for hung or slow", () => {
    for (let seed = 1; seed <= 5; seed += 1) {
      const { cluster } = start(strategy, 4, seed);
      const changes: string[] = [];
      cluster.registry.subscribe({
        stateChanged: ({ url, lastError }, _from, to) => changes.push(`${url} ${to} ${lastError}`),
      });
      const draw = cluster.random;
      // Nearly log-normal: one in a thousand has 30 times the usual.
      const spread = () => Math.exp(1.2 * (draw() + draw() + draw() + draw() - 2) * 1.7);
      send(cluster, {
        perSecond: 10,
        seconds: 300,
        patienceMs: 3_600_000,
        restMs: 4_000,
        asked: () => ({ promptBytes: Math.round(2_000 * spread()), stream: draw() < 0.5 }),
        firstWordMs: (_node, { promptBytes, stream }) =>
          100 + promptBytes / 20 + (stream ? 0 : 1_000 * spread()),
      });
      expect(changes).toEqual([]);
    }
  });
});

test("ten minutes of prefill are never taken for hung, whatever is answered beside it", () => {
  for (const seconds of [60, 700]) {
    const { cluster } = start("min_expected_latency");
    const long = { promptBytes: 2_000_000 };
    const quick = { perSecond: 5, firstWordMs: () => 300, asked: () => ({ promptBytes: 1_000 }) };
    send(cluster, { ...quick, seconds: 20 });
    const seen = send(cluster, {
      perSecond: 1,
      seconds: 1,
      patienceMs: 3_600_000,
      asked: () => long,
      firstWordMs: () => 600_000,
    });
    const [request] = seen.leases;
    if (request === undefined) throw new Error("not sent");
    // What comes behind it waits for it.
    send(cluster, {
      ...quick,
      seconds,
      firstWordMs: (node) => (node === request.node ? Number.POSITIVE_INFINITY : 300),
    });
    cluster.time.advance(1_000_000);
    expect(seen.leases).toEqual([request]);
    expect(request.outcome).toEqual({ kind: "answered", status: 200 });
  }
});

test.each([1, 0.2])(
  "where %d requests come a second, those that meet a hung engine move, too",
  (perSecond) => {
    for (const strategy of STRATEGY_NAMES) {
      const { cluster, odd } = start(strategy);
      const well = { perSecond, seconds: 40 / perSecond, firstWordMs: () => 300 };
      send(cluster, well);
      const seen = send(cluster, {
        ...well,
        firstWordMs: (node) => (node === odd ? Number.POSITIVE_INFINITY : 300),
      });
      cluster.time.advance(12_000);
      expect(givenUp(seen)).toBe(0);
      expect(Math.max(...seen.requests.map(({ waitedMs }) => waitedMs))).toBeLessThan(5_000);
    }
  },
);

test("an engine whose answers come as a whole, which may be long, is out once some clients have given up in a row", () => {
  const { cluster, odd } = start("random");
  const well = {
    perSecond: 1,
    seconds: 60,
    firstWordMs: () => 300,
    asked: () => ({ stream: false }),
  };
  send(cluster, well);
  const seen = send(cluster, {
    ...well,
    firstWordMs: (node) => (node === odd ? Number.POSITIVE_INFINITY : 300),
  });
  cluster.time.advance(12_000);
  expect(givenUp(seen)).toBeLessThanOrEqual(4);
});

test("when all of them stand still, nobody moves and nobody is out", () => {
  const { cluster } = start("random");
  send(cluster, { perSecond: 20, seconds: 20, firstWordMs: () => 300 });
  const seen = send(cluster, { perSecond: 20, seconds: 30, firstWordMs: () => 60_000 });
  cluster.time.advance(120_000);
  expect(seen.leases.length).toBe(seen.requests.length);
  expect(cluster.registry.nodes().map(({ health }) => health.state)).toEqual(
    Array.from({ length: 4 }, () => "healthy"),
  );
});

test("prompts that have to be computed are not slow beside those that peers find in their caches", () => {
  const { cluster, odd } = start("round_robin", 4);
  const changes: string[] = [];
  cluster.registry.subscribe({
    stateChanged: ({ url }, _from, to) => changes.push(`${url} ${to}`),
  });
  const cold = { promptBytes: 400_000 };
  // Some that nobody has, anywhere; then one of the nodes gets them in a row, and they wait for each other.
  const ms = (asked: { readonly promptBytes: number }, isCold: boolean) =>
    isCold ? asked.promptBytes / 40 : 200;
  let nth = 0;
  send(cluster, {
    perSecond: 8,
    seconds: 60,
    patienceMs: 3_600_000,
    asked: () => cold,
    firstWordMs: (_node, asked) => ms(asked, nth++ % 40 === 0),
  });
  let behind = 0;
  send(cluster, {
    perSecond: 8,
    seconds: 20,
    patienceMs: 3_600_000,
    asked: () => cold,
    firstWordMs: (node, asked) => (node === odd ? ++behind * ms(asked, true) : ms(asked, false)),
  });
  expect(changes).toEqual([]);
});

test("a node that answers at once between prompts that nobody has in a cache is not slow beside peers that had none", () => {
  const { cluster, odd } = start("round_robin", 4);
  const changes: string[] = [];
  cluster.registry.subscribe({
    stateChanged: ({ url }, _from, to) => changes.push(`${url} ${to}`),
  });
  const asked = () => ({ promptBytes: 400_000 });
  const traffic = { perSecond: 2, patienceMs: 3_600_000, asked };
  send(cluster, { ...traffic, seconds: 60, firstWordMs: () => 100 });
  let nth = 0;
  const isCold = (node: Node) => node === odd && nth++ % 5 < 2;
  const firstWordMs = (node: Node) => (isCold(node) ? 10_000 : 100);
  send(cluster, { ...traffic, seconds: 60, firstWordMs });
  expect(changes).toEqual([]);
  expect(nth).toBeGreaterThan(20);
});

test.each([
  ["nothing to anybody", 0, "unhealthy"],
  ["to other processes", 1, "healthy"],
] as const)("a node that is silent here, and sends %s", (_what, pieces, state) => {
  const cluster = new Cluster({
    nodes: 4,
    elsewhere: {
      ...NOBODY_ELSE,
      isShared: true,
      inFlight: () => 1,
      // One every 100 ms.
      pieces: (slot) => (slot === 0 ? (pieces * cluster.time.nowMs) / 100 : 0),
    },
  });
  const odd = cluster.node("n0");
  keepWatch(cluster);
  send(cluster, { perSecond: 20, seconds: 20, firstWordMs: () => 300 });
  // So few that nothing is told by how long they take.
  const silent = (node: Node) => (node === odd ? Number.POSITIVE_INFINITY : 300);
  send(cluster, { perSecond: 2, seconds: 6, firstWordMs: silent });
  expect(odd.health.state).toBe(state);
});

test.each([
  ["nothing", 0, "unhealthy"],
  ["another process' long prompt", 400_000, "healthy"],
] as const)("a node that is ten times slower, and has %s before it", (_what, bytes, state) => {
  const cluster = new Cluster({
    nodes: 4,
    elsewhere: {
      ...NOBODY_ELSE,
      isShared: true,
      inFlight: () => 1,
      longestBytes: (slot) => (slot === 0 ? bytes : 0),
    },
  });
  const odd = cluster.node("n0");
  keepWatch(cluster);
  const firstWordMs = (node: Node) => (node === odd ? 3_000 : 300);
  send(cluster, { perSecond: 20, seconds: 20, firstWordMs });
  expect(odd.health.state).toBe(state);
});
