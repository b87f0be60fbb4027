import { lowestCost } from "../../core/strategies/strategy.ts";
import type { Contestant, Oracle } from "../contestant.ts";
import { PrefixTable } from "./prefix-table.ts";

const WEIGHTS = { queue: 2, cache: 2, prefix: 3 } as const;
/** Blocks remembered for each engine, least recently used first out: the plugin's default. */
const BLOCKS_PER_ENGINE = 31_250;

/**
 * llm-d's weighted scorers (its inference scheduler on the Gateway API inference extension): the
 * shortest queue and the emptiest KV cache, both between 0 and 1 over the candidates, and the share of
 * the prompt's blocks that were sent there before; queue 2, KV 2, prefix 3, the best sum wins. It is
 * shown gauges as of now, since it reads them every 50 ms.
 */
export function llmD(oracle: Oracle): Contestant {
  const table = new PrefixTable(BLOCKS_PER_ENGINE);
  return {
    strategy: (asked, candidates, random) => {
      const stats = candidates.map(({ id }) => oracle.engineOf(id)?.model.stats());
      const queues = stats.map((one) => one?.waiting ?? 0);
      const [least, most] = [Math.min(...queues), Math.max(...queues)];
      const scores = new Map(
        candidates.map((candidate, i) => {
          const queue = most === least ? 1 : (most - (queues[i] ?? 0)) / (most - least);
          const cache = 1 - (stats[i]?.usageWithoutCached ?? 0);
          const known = table.match(candidate.id, asked.blocks);
          const prefix = known / Math.max(1, asked.blocks.length);
          const { queue: ofQueue, cache: ofCache, prefix: ofPrefix } = WEIGHTS;
          return [candidate, ofQueue * queue + ofCache * cache + ofPrefix * prefix];
        }),
      );
      const best = Math.max(...scores.values());
      return lowestCost(candidates, (candidate) => best - (scores.get(candidate) ?? 0), random);
    },
    knowledge: [
      {
        fill: () => {},
        listener: { leaseStarted: ({ node, asked }) => table.add(node.id, asked.blocks) },
      },
    ],
  };
}
