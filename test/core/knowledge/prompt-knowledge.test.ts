/** What is believed of nodes' prefix caches and speeds, from when first words come. */
import { describe, expect, test } from "bun:test";
import type { EngineKind } from "../../../src/core/engine/kinds.ts";
import {
  type Asked,
  type Candidate,
  lowestCost,
  NOTHING_ASKED,
  type Strategy,
} from "../../../src/core/strategies/strategy.ts";
import { Cluster, OK } from "../../../src/lab/cluster.ts";
import { seededRandom } from "../../../src/sim/model/seeded-random.ts";

const BLOCK_BYTES = 1_024;
/** What the engines here compute in a ms, bytes. */
const BYTES_PER_MS = 30;

/** A conversation of which every turn says again what was said before. */
function turn(session: number, blocks: number): Asked {
  return {
    ...NOTHING_ASKED,
    stream: true,
    promptBytes: blocks * BLOCK_BYTES,
    blocks: Array.from({ length: blocks }, (_, i) => session * 10_000 + i),
    blockEnds: Array.from({ length: blocks }, (_, i) => (i + 1) * BLOCK_BYTES),
  };
}

/**
 * One engine that keeps the last `capacity` blocks that it was sent, or none.
 * @param tells Which share of a prompt its answers say it had, if they do, by which it had.
 */
function engine(capacity: number, tells: (cached: number) => number | null = () => null) {
  let seen: Candidate | null = null;
  const strategy: Strategy = (_asked, candidates, random) => {
    // Always the same one.
    const first = lowestCost(candidates, ({ id }) => id, random);
    seen = { ...first, id: first.id };
    return first;
  };
  strategy.needs = ["prompt"];
  const cluster = new Cluster({ nodes: 2, strategy });
  const random = seededRandom(3);
  const cache = new Set<number>();
  const counts = { asked: 0, found: 0 };
  return {
    counts,
    /** The counters of its `/metrics` are read. */
    poll(kind: EngineKind) {
      const node = cluster.registry.nodes().find(({ id }) => id === seen?.id);
      if (node === undefined) return;
      const sample = { cacheUsage: null, running: null, waiting: null, prefix: { ...counts } };
      cluster.registry.learning.sampled(node, sample, kind, cluster.time.nowMs);
    },
    /** @returns What was believed before it was sent, and what was so, bytes. */
    answer(asked: Asked) {
      const lease = cluster.lease({ asked });
      const first = asked.blocks.findIndex((block) => !cache.has(block));
      const cached = (first < 0 ? asked.blocks.length : first) * BLOCK_BYTES;
      // Of a prompt the end is evicted first.
      for (const block of asked.blocks.toReversed()) {
        cache.delete(block);
        cache.add(block);
      }
      for (const oldest of cache) {
        if (cache.size <= capacity) break;
        cache.delete(oldest);
      }
      // A token has more bytes in one text than in another, and a step takes some time whatever is in it.
      const bytesPerMs = BYTES_PER_MS * (0.6 + 0.8 * random());
      cluster.time.advance(15 + (asked.promptBytes - cached) / bytesPerMs);
      lease.answering(200);
      lease.piece(cluster.time.nowMs);
      const share = tells(cached / asked.promptBytes);
      const cachedTokens = share === null ? null : Math.round(1_000 * share);
      const usage = { promptTokens: 1_000, outputTokens: 1, cachedTokens };
      counts.asked += 1_000;
      counts.found += Math.round((1_000 * cached) / asked.promptBytes);
      lease.end({ kind: "answered", status: 200, usage });
      cluster.time.advance(500);
      if (seen === null) throw new Error("nobody was asked");
      return { cached, believed: seen.cachedBytes, prefillBytesPerS: seen.prefillBytesPerS };
    },
  };
}

describe("long sessions, nearly all of which is found", () => {
  test.each([1, 2, 4])("is believed for as long as it is so, %d at a time", (sessions) => {
    const node = engine(100_000);
    for (let nth = 0; nth < 2_000; nth += 1) {
      const blocks = 20 + Math.floor((nth / sessions) % 200);
      const session = (nth % sessions) + sessions * Math.floor(nth / sessions / 200);
      const { cached, believed, prefillBytesPerS } = node.answer(turn(session, blocks));
      if (nth < 50) continue;
      expect(believed).toBeWithin(0.85 * cached, cached + 1);
      expect(prefillBytesPerS).toBeWithin(0.4 * BYTES_PER_MS * 1_000, 2 * BYTES_PER_MS * 1_000);
    }
  });
});

test("what is found makes half of each prompt: how the time varies takes no trust away", () => {
  const node = engine(100_000);
  for (let nth = 0; nth < 1_000; nth += 1) {
    const { blocks, ...asked } = turn(0, 20);
    const own = blocks.map((block, i) => (i < 11 ? block : (nth + 1) * 10_000 + i));
    const { believed, prefillBytesPerS } = node.answer({ ...asked, blocks: own });
    if (nth < 50) continue;
    expect(believed).toBeGreaterThan(0.8 * 11 * BLOCK_BYTES);
    expect(prefillBytesPerS).toBeWithin(0.4 * BYTES_PER_MS * 1_000, 2 * BYTES_PER_MS * 1_000);
  }
});

test("an engine without a prefix cache is believed to have none", () => {
  const node = engine(0);
  let [all, asked] = [0, 0];
  for (let nth = 0; nth < 400; nth += 1) {
    const blocks = 40 + (nth % 60);
    const { believed, prefillBytesPerS } = node.answer(turn(nth % 7, blocks));
    if (nth < 100) continue;
    all += believed;
    asked += blocks * BLOCK_BYTES;
    expect(prefillBytesPerS).toBeWithin(0.4 * BYTES_PER_MS * 1_000, 2 * BYTES_PER_MS * 1_000);
  }
  expect(all / asked).toBeLessThan(0.05);
});

test("a small cache is believed to have what is young, and not what is old", () => {
  const node = engine(1_000);
  const sums = { young: 0, old: 0 };
  for (let nth = 0; nth < 2_000; nth += 1) {
    // One conversation that goes on, and twenty that are too many to keep.
    const isYoung = nth % 2 === 0;
    const session = isYoung ? 0 : 1 + (nth % 40);
    const { believed, cached } = node.answer(turn(session, 80));
    if (nth < 1_000) continue;
    expect(cached).toBe(isYoung ? 80 * BLOCK_BYTES : 0);
    sums[isYoung ? "young" : "old"] += believed / (80 * BLOCK_BYTES) / 500;
  }
  expect(sums.young).toBeGreaterThan(0.85);
  expect(sums.old).toBeLessThan(0.25);
});

test("what is asked for again and again leaves no room for the rest, although nothing of it is computed", () => {
  const node = engine(1_000);
  const off = { often: 0, seldom: 0 };
  for (let nth = 0; nth < 1_000; nth += 1) {
    const isOften = nth % 20 !== 0;
    const { cached, believed } = node.answer(turn(isOften ? nth % 4 : 100, 240));
    if (nth % 10 === 0) node.poll("vllm");
    if (nth < 200) continue;
    off[isOften ? "often" : "seldom"] += Math.abs(believed - cached);
  }
  expect(off.often / 760).toBeLessThan(0.1 * 240 * BLOCK_BYTES);
  expect(off.seldom / 40).toBeLessThan(0.3 * 240 * BLOCK_BYTES);
});

test("a conversation that moved is as old as its last turn was where it had been", () => {
  let to = 0;
  const believed = new Map<number, number>();
  const strategy: Strategy = (_asked, candidates, random) => {
    for (const { id, cachedBytes } of candidates) believed.set(id, cachedBytes);
    return lowestCost(candidates, ({ id }) => (id === to ? 0 : 1), random);
  };
  strategy.needs = ["prompt"];
  const cluster = new Cluster({ nodes: 2, strategy });
  const [left = 0, now = 0] = cluster.registry.nodes().map(({ id }) => id);
  const send = (id: number, asked: Asked) => {
    to = id;
    cluster.lease({ asked }).end(OK);
    cluster.time.advance(1_000);
  };
  send(left, turn(0, 200));
  for (let nth = 1; nth < 200; nth += 1) {
    send(left, turn(nth, 200));
    send(now, turn(0, 200));
  }
  expect(believed.get(now)).toBeGreaterThan(100 * BLOCK_BYTES);
  expect(believed.get(left)).toBeLessThan(20 * BLOCK_BYTES);
});

describe("what answers say of the cache", () => {
  const believedOf = (node: ReturnType<typeof engine>, stream: boolean) => {
    let [all, asked] = [0, 0];
    for (let nth = 0; nth < 300; nth += 1) {
      const { believed } = node.answer({ ...turn(nth % 7, 50), stream });
      if (nth < 150) continue;
      all += believed;
      asked += 50 * BLOCK_BYTES;
    }
    return all / asked;
  };

  test("counts where no stream shows when the prompt was computed", () => {
    const told = engine(0, (cached) => cached);
    expect(believedOf(told, false)).toBeLessThan(0.1);
    expect(
      believedOf(
        engine(100_000, (cached) => cached),
        false,
      ),
    ).toBeGreaterThan(0.9);
  });

  test("left out means nothing was cached, once it has been there", () => {
    let answers = 0;
    const forgets = engine(0, () => (answers++ < 10 ? 0.9 : null));
    expect(believedOf(forgets, false)).toBeLessThan(0.1);
  });

  test("does not count when the time belies it", () => {
    expect(
      believedOf(
        engine(0, () => 1),
        true,
      ),
    ).toBeLessThan(0.2);
  });
});

describe("what counters of /metrics say of the cache", () => {
  const believedOf = (
    node: ReturnType<typeof engine>,
    stream: boolean,
    poll: (nth: number) => void,
  ) => {
    let [all, asked] = [0, 0];
    for (let nth = 0; nth < 300; nth += 1) {
      const { believed } = node.answer({ ...turn(nth % 7, 50), stream });
      if (nth % 10 === 0) poll(nth);
      if (nth < 150) continue;
      all += believed;
      asked += 50 * BLOCK_BYTES;
    }
    return all / asked;
  };

  test.each(["vllm", "sglang", "lmdeploy", "llamacpp"] as const)(
    "counts where neither answers nor their times tell: %s",
    (kind) => {
      const without = engine(0);
      expect(believedOf(without, false, () => without.poll(kind))).toBeLessThan(0.1);
      const large = engine(100_000);
      expect(believedOf(large, false, () => large.poll(kind))).toBeGreaterThan(0.9);
    },
  );

  test("is taken from where they begin anew, when the engine has restarted", () => {
    const node = engine(100_000);
    const poll = (nth: number) => {
      if (nth % 50 === 0) Object.assign(node.counts, { asked: 0, found: 0 });
      node.poll("vllm");
    };
    expect(believedOf(node, false, poll)).toBeGreaterThan(0.9);
  });

  test("does not count when the time belies it", () => {
    const node = engine(0);
    const poll = () => {
      node.counts.found = node.counts.asked;
      node.poll("vllm");
    };
    expect(believedOf(node, true, poll)).toBeLessThan(0.2);
  });
});
