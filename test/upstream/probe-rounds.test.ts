import { expect, test } from "bun:test";
import { Cluster } from "../../src/lab/cluster.ts";
import type { VirtualTime } from "../../src/lab/virtual-time.ts";
import { Rounds, type RoundsOptions } from "../../src/upstream/probe-rounds.ts";

function clockOf(time: VirtualTime): RoundsOptions["clock"] {
  return {
    now: time.now,
    wallMs: time.now,
    after: time.after,
    every: () => () => {},
    soon: (act) => void time.after(0, act),
  };
}

/** Rounds over the nodes of a cluster; what was asked stands in `asked`. */
function rounds(cluster: Cluster, options: Partial<RoundsOptions> = {}) {
  const { time, random } = cluster;
  const asked: string[] = [];
  const errors: unknown[] = [];
  const made = new Rounds({
    clock: clockOf(time),
    random,
    delayMs: () => 5_000,
    onError: (error) => errors.push(error),
    ...options,
    ask: async (node, atOnce) => {
      asked.push(`${node.url.slice(7)} ${Math.round(time.nowMs)}${atOnce ? " at once" : ""}`);
      await options.ask?.(node, atOnce);
    },
  });
  for (const node of cluster.registry.nodes()) made.add(node);
  /** Lets time pass, and what it sets off come to rest. */
  const pass = async (ms: number) => {
    for (let i = 0; i < ms; i += 100) {
      time.advance(100);
      for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
    }
  };
  return { made, asked, errors, pass };
}

test("many nodes that joined in one moment are asked one after the other, each every few seconds", async () => {
  const cluster = new Cluster({ nodes: 100 });
  const { asked, pass } = rounds(cluster);
  await pass(5_000);
  expect(asked).toHaveLength(100);
  const perTick = Map.groupBy(asked, (line) => line.split(" ")[1]);
  expect(Math.max(...[...perTick.values()].map(({ length }) => length))).toBeLessThan(10);
  await pass(60_000);
  for (const node of cluster.registry.nodes()) {
    const times = asked.filter((line) => line.startsWith(`${node.url.slice(7)} `)).length;
    expect(times).toBeGreaterThanOrEqual(13);
    expect(times).toBeLessThanOrEqual(17);
  }
});

test("a question that throws ends nothing", async () => {
  const cluster = new Cluster({ nodes: 1 });
  const { asked, errors, pass } = rounds(cluster, {
    ask: () => Promise.reject(new Error("a mistake")),
  });
  await pass(20_000);
  expect(asked.length).toBeGreaterThanOrEqual(4);
  expect(errors).toHaveLength(asked.length);
});

test("wanted at once it is asked at once, or once more after the question that is under way", async () => {
  const cluster = new Cluster({ nodes: 1 });
  const node = cluster.node("n0");
  const answers: (() => void)[] = [];
  const { made, asked, pass } = rounds(cluster, {
    ask: () => new Promise<void>((resolve) => answers.push(resolve)),
  });
  const startMs = cluster.time.nowMs;
  made.now(node);
  expect(asked).toEqual([`n0 ${startMs} at once`]);
  for (let i = 0; i < 3; i += 1) made.now(node);
  await pass(30_000);
  expect(asked).toHaveLength(1);
  answers[0]?.();
  await pass(100);
  expect(asked).toEqual([`n0 ${startMs} at once`, `n0 ${startMs + 30_100} at once`]);
  answers[1]?.();
  await pass(3_000);
  expect(asked).toHaveLength(2);
  made.remove(node);
  made.now(node);
  await pass(30_000);
  expect(asked).toHaveLength(2);
});

test("nothing is asked, and no timer left, once they have stopped", async () => {
  const cluster = new Cluster({ nodes: 10 });
  const { made, asked, pass } = rounds(cluster);
  made.stop();
  expect(cluster.time.pending).toBe(0);
  await pass(20_000);
  expect(asked).toEqual([]);
});
