/** Engines that end at once what their peers answer at length: idle to look at, and good for nothing. */
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

/** A prompt that keyed strategies send where others like it are. */
function alike(kind: number): Partial<Asked> {
  return {
    key: (kind * 2_654_435_761) % 2 ** 32,
    session: { id: kind, model: 1 },
    promptBytes: 4_000,
    blocks: [kind, kind + 0.5],
    blockEnds: [2_000, 4_000],
  };
}

/**
 * Conversations of twenty clients, 150 tokens more or less, every other one as a stream; and among them
 * `share` of jobs, five clients', that any engine does in a token: each client's on the same node, where
 * a strategy has it so.
 */
function traffic({ random }: Cluster, share: number) {
  return {
    firstWordMs: () => 300,
    patienceMs: 3_600_000,
    asked: (nth: number) => {
      const stream = random() < 0.5;
      const job = Math.floor(random() * 5);
      return random() < share
        ? { ...alike(job), client: `job ${job}`, stream }
        : { ...alike(1_000 + (nth % 60)), client: `chat ${nth % 20}`, stream };
    },
    tokens: (_node: Node, { client }: Asked): number =>
      client?.startsWith("job") === true
        ? 1
        : Math.round(30 + 120 * Math.exp(3 * (random() + random() - 1))),
  };
}

const chatsOn = (node: Node, { leases }: Seen) =>
  leases.filter((lease) => lease.node === node && lease.asked.client?.startsWith("chat") === true);

describe.each(STRATEGY_NAMES)("%s", (strategy) => {
  for (const [perSecond, share, most] of [
    [20, 0, 30],
    [2, 0, 35],
    [20, 0.5, 100],
    [2, 0.5, 50],
  ] as const) {
    test(`one of four says two words to everything, at once (${perSecond} a second, ${share * 100} % one-word jobs)`, () => {
      const { cluster, odd } = start(strategy);
      const well = { ...traffic(cluster, share), perSecond, seconds: 30 };
      send(cluster, well);
      const ill = {
        ...well,
        firstWordMs: (node: Node) => (node === odd ? 20 : 300),
        tokens: (node: Node, asked: Asked) => (node === odd ? 2 : well.tokens(node, asked)),
      };
      const seen = send(cluster, { ...ill, seconds: perSecond === 2 ? 240 : 60 });
      expect(odd.lastError).toMatch(/^ends its answers after/);
      expect(chatsOn(odd, seen).length).toBeLessThan(most);
      const later = send(cluster, ill);
      expect(chatsOn(odd, later).length).toBeLessThanOrEqual(4);
      // With jobs on trial it takes as long as chance has it.
      if (share > 0) return;
      send(cluster, { ...well, seconds: 60 });
      expect(odd.health.state).toBe("healthy");
    });
  }

  test("one that says two words to everything is found when nothing but jobs is followed by chats", () => {
    const { cluster, odd } = start(strategy);
    const ill = (share: number) => {
      const well = traffic(cluster, share);
      return {
        ...well,
        firstWordMs: (node: Node) => (node === odd ? 20 : 300),
        tokens: (node: Node, asked: Asked) =>
          Math.min(node === odd ? 2 : 10_000, well.tokens(node, asked)),
      };
    };
    // Nobody can tell, and it is left alone for ever longer.
    send(cluster, { ...ill(1), perSecond: 10, seconds: 900 });
    expect(odd.health.state).toBe("healthy");
    const seen = send(cluster, { ...ill(0), perSecond: 10, seconds: 150 });
    expect(odd.lastError).toMatch(/^ends its answers after/);
    expect(chatsOn(odd, seen).length).toBeLessThan(320);
  });

  test("short answers that the requests ask for put nobody out", () => {
    for (const [share, perSecond, most] of [
      [0.3, 10, 0.15],
      [0.9, 10, 0.15],
      [1, 2, 0.15],
      [1, 20, 0.05],
    ] as const) {
      const { cluster, changes } = start(strategy);
      const seen = send(cluster, { ...traffic(cluster, share), perSecond, seconds: 300 });
      expect(changes).toEqual([]);
      expect(seen.leases.filter(({ insteadOf }) => insteadOf !== null).length).toBeLessThan(
        most * seen.leases.length,
      );
    }
  });
});

test("an answer whose length is not known, or was limited, is no evidence", () => {
  const { cluster, odd, changes } = start("random");
  const known = traffic(cluster, 0);
  const seen = send(cluster, {
    ...known,
    perSecond: 20,
    seconds: 60,
    restMs: 1,
    tokens: (node, asked) => (node === odd ? null : known.tokens(node, asked)),
  });
  expect(changes).toEqual([]);
  expect(seen.leases.filter(({ insteadOf }) => insteadOf !== null)).toEqual([]);
});
