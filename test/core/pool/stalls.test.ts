/** Engines that stop in the middle of their answers, and say that they are well. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Node } from "../../../src/core/pool/node.ts";
import type { StrategyName } from "../../../src/core/strategies/index.ts";
import { STRATEGY_NAMES } from "../../../src/core/strategies/index.ts";
import type { Asked } from "../../../src/core/strategies/strategy.ts";
import { Cluster } from "../../../src/lab/cluster.ts";
import { keepWatch, type Seen, send } from "./patients.ts";

setDefaultTimeout(60_000);

function start(strategy: StrategyName, seed = 1) {
  const cluster = new Cluster({ nodes: 4, strategy, seed });
  const changes: string[] = [];
  cluster.registry.subscribe({
    stateChanged: ({ url, lastError }, _from, to) => changes.push(`${url} ${to} ${lastError}`),
  });
  keepWatch(cluster);
  return { cluster, odd: cluster.node("n0"), changes };
}

/** Streams of twenty clients in sixty conversations, 150 tokens more or less. */
function chats({ random }: Cluster) {
  return {
    firstWordMs: () => 300,
    patienceMs: 3_600_000,
    asked: (nth: number): Partial<Asked> => ({
      key: ((nth % 60) * 2_654_435_761) % 2 ** 32,
      session: { id: nth % 60, model: 1 },
      blocks: [nth % 60],
      blockEnds: [2_000],
      promptBytes: 2_000,
      client: `client ${nth % 20}`,
    }),
    tokens: () => Math.round(30 + 120 * Math.exp(3 * (random() + random() - 1))),
  };
}

const sentTo = ({ leases }: Seen, node: Node) => leases.filter((lease) => lease.node === node);

describe.each(STRATEGY_NAMES)("%s", (strategy) => {
  test.each([
    [20, 30],
    [2, 12],
  ])(
    "one of four stops in the middle, %d requests a second: no more than %d come, its streams are left alone",
    (perSecond, most) => {
      const { cluster, odd } = start(strategy);
      let stands = false;
      const pauseMs = (node: Node) => (stands && node === odd ? Number.POSITIVE_INFINITY : 0);
      const well = { ...chats(cluster), perSecond, seconds: 60, pauseMs };
      send(cluster, well);
      stands = true;
      const seen = send(cluster, well);
      expect(odd.lastError).toMatch(/^its streams stand still for/);
      expect(sentTo(seen, odd).length).toBeLessThan(most);
      for (const { outcome } of sentTo(seen, odd)) expect(outcome).toBeNull();
      // On trial.
      expect(sentTo(send(cluster, well), odd).length).toBeLessThanOrEqual(4);
      stands = false;
      send(cluster, well);
      expect(odd.health.state).toBe("healthy");
    },
  );

  test("pauses that streams make on any node put nobody out", () => {
    const { cluster, changes } = start(strategy);
    const pauseMs = () => (cluster.random() < 0.02 ? 60_000 * cluster.random() : 0);
    send(cluster, { ...chats(cluster), perSecond: 20, seconds: 120, pauseMs });
    send(cluster, { ...chats(cluster), perSecond: 1, seconds: 300, pauseMs });
    expect(changes).toEqual([]);
  });
});

/**
 * Prompts of a megabyte, more or less, which engines compute one after the other, 10 kB a second; as long as they
 * do so, their streams stand still. Two of three of their minutes go by like that.
 */
function longPrompts(cluster: Cluster, stands: (node: Node) => boolean) {
  const { time, random } = cluster;
  const busyUntilMs = new Map<Node, number>();
  const untilMs = (node: Node) => Math.max(time.nowMs, busyUntilMs.get(node) ?? 0);
  return {
    ...chats(cluster),
    ...{ perSecond: 0.028, isExact: true },
    asked: (nth: number): Partial<Asked> => ({
      key: ((nth % 60) * 2_654_435_761) % 2 ** 32,
      session: { id: nth % 60, model: 1 },
      blocks: [nth],
      blockEnds: [2_000],
      promptBytes: Math.round(550_000 * Math.exp(2 * (random() + random() - 1))),
      client: `client ${nth % 20}`,
    }),
    firstWordMs: (node: Node, { promptBytes }: Asked) => {
      if (stands(node)) return Number.POSITIVE_INFINITY;
      busyUntilMs.set(node, untilMs(node) + promptBytes / 10);
      return Math.max(50, untilMs(node) - time.nowMs);
    },
    pauseMs: (node: Node) => (stands(node) ? Number.POSITIVE_INFINITY : untilMs(node) - time.nowMs),
  };
}

test.each(["random", "min_expected_latency", "prefix_aware"] as const)(
  "among prefills of minutes one that stops is found, and no other is taken for such (%s)",
  (strategy) => {
    const { cluster, odd, changes } = start(strategy);
    let hasStopped = false;
    const traffic = longPrompts(cluster, (node) => hasStopped && node === odd);
    send(cluster, { ...traffic, seconds: 7_200 });
    expect(changes).toEqual([]);
    hasStopped = true;
    const seen = send(cluster, { ...traffic, seconds: 3_600 });
    expect(changes[0]).toMatch(/^http:\/\/n0 unhealthy sent nothing for/);
    expect(changes.filter((change) => !change.startsWith(odd.url))).toEqual([]);
    expect(sentTo(seen, odd).length).toBeLessThan(0.15 * seen.leases.length);
  },
);

test("what stood still and goes on brings its node back, with no request on trial", () => {
  const { cluster, odd } = start("random");
  let restsMs = 0;
  const pauseMs = (node: Node) => (node === odd ? restsMs : 0);
  const well = { ...chats(cluster), perSecond: 10, seconds: 20, pauseMs };
  send(cluster, well);
  restsMs = 15_000;
  send(cluster, { ...well, seconds: 5 });
  restsMs = 0;
  expect(odd.health.doubt).toBe("stalled");
  cluster.time.advance(16_000);
  expect(odd.health.doubt).toBeNull();
});

test("a long prefill that holds up all streams of its node is none of that", () => {
  const { cluster, changes } = start("round_robin");
  let computesUntilMs = 0;
  let computes: Node | null = null;
  const { time } = cluster;
  const well = {
    ...chats(cluster),
    perSecond: 4,
    pauseMs: (node: Node) => (node === computes ? Math.max(0, computesUntilMs - time.nowMs) : 0),
  };
  send(cluster, { ...well, seconds: 60 });
  const long = { perSecond: 1, seconds: 1, patienceMs: 3_600_000, firstWordMs: () => 120_000 };
  const seen = send(cluster, { ...long, asked: () => ({ promptBytes: 1_000_000, stream: true }) });
  computes = seen.leases[0]?.node ?? null;
  computesUntilMs = time.nowMs + 60_000;
  const behind = (node: Node) => (node === computes ? computesUntilMs - time.nowMs + 300 : 300);
  send(cluster, { ...well, seconds: 40, firstWordMs: behind });
  time.advance(60_000);
  expect(changes).toEqual([]);
});

test("streams of all nodes that stand still together put nobody out", () => {
  const { cluster, changes } = start("random");
  let pauseMs = 0;
  const well = { ...chats(cluster), perSecond: 20, pauseMs: () => pauseMs };
  send(cluster, { ...well, seconds: 30 });
  pauseMs = 60_000;
  send(cluster, { ...well, seconds: 30 });
  expect(changes).toEqual([]);
});
