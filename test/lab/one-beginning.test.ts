/** Prompts that all begin with one long system prompt, and ask little of their own: soon every node has it. */
import { expect, test } from "bun:test";
import { PromptKnowledge } from "../../src/core/knowledge/prompt-knowledge.ts";
import { prefixAware } from "../../src/core/strategies/prefix-aware.ts";
import { ENGINES } from "../../src/lab/engines.ts";
import { replay } from "../../src/lab/replay.ts";
import { Prefixes } from "../../src/lab/trace/prefixes.ts";
import type { Trace, TraceRequest } from "../../src/lab/trace/trace.ts";
import { prepare } from "../../src/lab/workload.ts";
import { hash } from "../../src/proxy/routing.ts";
import { seededRandom } from "../../src/sim/model/seeded-random.ts";

const BLOCK_TOKENS = 64;
const SYSTEM_BLOCKS = 125;
const REQUESTS = 1_500;
const PER_SECOND = 38;

function oneBeginning(seed: number): Trace {
  const random = seededRandom(seed);
  const prefixes = new Prefixes();
  const system = Array.from({ length: SYSTEM_BLOCKS }, (_, i) => i);
  let atMs = 0;
  const requests = Array.from({ length: REQUESTS }, (_, nth): TraceRequest => {
    atMs += (-1_000 * Math.log(1 - random())) / PER_SECOND;
    const own = 3 + Math.floor(20 * random() ** 2);
    const blocks = [...system, ...Array.from({ length: own }, (_, i) => 1_000 + 50 * nth + i)];
    return {
      atMs,
      inputTokens: blocks.length * BLOCK_TOKENS,
      outputTokens: 50 + Math.floor(300 * random()),
      prefix: prefixes.of(blocks),
      session: -1,
      after: -1,
      pauseMs: 0,
    };
  });
  return { name: "one beginning", blockTokens: BLOCK_TOKENS, prefixes, stepMs: 0, requests };
}

const params = ENGINES["llama3-8b-h100"];
if (params === undefined) throw new Error("the laboratory has lost its names");

test.each([2, 3, 5])("seed %d: every node is believed to have it, as it says", (seed) => {
  const shares: number[] = [];
  replay({
    workload: prepare(oneBeginning(seed), params.blockSizeTokens, hash),
    cluster: { name: "four", speeds: [1, 1, 1, 1], events: [] },
    model: { name: "m", params },
    contestant: {
      name: "prefix_aware",
      make: (_oracle, time) => {
        const knowledge = new PromptKnowledge(time.now);
        return {
          knowledge: [knowledge],
          strategy: (asked, candidates, random) => {
            const least = Math.min(...candidates.map(({ cachedBytes }) => cachedBytes));
            shares.push(least / asked.promptBytes);
            return prefixAware(asked, candidates, random);
          },
        };
      },
    },
    seed,
    rate: 1,
    closedLoop: false,
    stopwatch: () => 0,
  });
  const last = shares.slice(-100);
  expect(last.reduce((sum, share) => sum + share, 0) / last.length).toBeGreaterThan(0.7);
});
