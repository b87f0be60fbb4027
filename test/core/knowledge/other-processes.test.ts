/** What processes tell each other of prompts, and do with what they hear. */
import { expect, test } from "bun:test";
import { HeardPrompts, type Sent } from "../../../src/core/knowledge/heard-prompts.ts";
import type { SentNews } from "../../../src/core/knowledge/prompt-news.ts";
import {
  type Asked,
  lowestCost,
  NOTHING_ASKED,
  type Strategy,
} from "../../../src/core/strategies/strategy.ts";
import { Cluster, OK } from "../../../src/lab/cluster.ts";

const ASKED: Asked = {
  ...NOTHING_ASKED,
  stream: true,
  promptBytes: 2_000,
  blocks: [1, 2, 3],
  blockEnds: [500, 1_000, 1_500],
};

/** A process that writes down what it tells, and hears what is pending whenever it catches up. */
function processOf(nodes: number) {
  const queued = new Map<number, number>();
  const strategy: Strategy = (_asked, candidates, random) => {
    for (const { id, queuedBytes } of candidates) queued.set(id, queuedBytes);
    return lowestCost(candidates, ({ id }) => id, random);
  };
  strategy.needs = ["prompt"];
  const cluster = new Cluster({ nodes, strategy });
  const { prompts } = cluster;
  if (prompts === null) throw new Error("prompts are needed");
  const told: unknown[][] = [];
  const pending: (() => void)[] = [];
  prompts.others = {
    catchUp: () => {
      for (const happens of pending.splice(0)) happens();
    },
    sent: ({ id }) => told.push(["sent", id]),
    computed: (id, bytes, ms) => told.push(["computed", id, bytes, ms]),
    ended: (id, isAnswered) => told.push(["ended", id, isAnswered]),
  };
  return { cluster, prompts, told, pending, queued };
}

function newsOf(id: number, slot: number): SentNews {
  const { promptBytes, stream: streams, blocks } = ASKED;
  return { id, slot, streams, bytes: promptBytes, promptBytes, pieces: [], blocks };
}

test("others are told that a prompt has ended whose node was removed meanwhile", () => {
  const { cluster, told } = processOf(1);
  const lease = cluster.lease({ asked: ASKED });
  cluster.registry.membership.remove(lease.node.url);
  lease.end(OK);
  // No other is to count it: the node's place may be another node's.
  expect(told).toEqual([
    ["sent", 1],
    ["ended", 1, false],
  ]);
});

test("a prompt took the time since the one before it, also when another process had sent that", () => {
  const { cluster, prompts, told, pending } = processOf(1);
  const heard = prompts.from();
  const { slot } = cluster.node("n0");
  const at = cluster.time.nowMs;
  pending.push(() => heard.sent(newsOf(7, slot), at));
  const lease = cluster.lease({ asked: ASKED });
  pending.push(() => heard.computed(7, 2_000, 1_000, at + 1_000));
  cluster.time.advance(1_500);
  lease.answering(200);
  lease.piece(cluster.time.nowMs);
  expect(told.at(-1)).toEqual(["computed", 1, 2_000, 500]);
});

test("of a prompt of another process its blocks are not kept", () => {
  const { cluster, prompts } = processOf(1);
  const kept: (Sent | null)[] = [];
  const heard = new HeardPrompts({
    heard: (news) => prompts.heard(news),
    sent: (prompt) => kept.push(prompt),
    computed: () => {},
    ended: () => {},
  });
  heard.sent(newsOf(7, cluster.node("n0").slot), 0);
  expect(kept).toHaveLength(1);
  expect(kept[0]).not.toHaveProperty("blocks");
});

test("gauges of a removed node that were asked for before take nothing from who has its place", () => {
  const { cluster, queued } = processOf(2);
  const before = cluster.node("n0");
  cluster.registry.membership.remove(before.url);
  const { id, slot } = cluster.join("n2");
  cluster.warmUp();
  expect(slot).toBe(before.slot);
  cluster.lease({ asked: ASKED, tried: new Set([cluster.node("n1")]) });
  const prefix = { asked: 1, found: 0 };
  const sample = { cacheUsage: null, running: null, waiting: null, prefix };
  cluster.registry.learning.sampled(before, sample, "vllm", cluster.time.nowMs);
  cluster.lease({ asked: ASKED });
  expect(queued.get(id)).toBe(2_000);
});
