import { lowestCost } from "../../core/strategies/strategy.ts";
import type { Contestant, Oracle } from "../contestant.ts";
import type { VirtualTime } from "../virtual-time.ts";

/** The published defaults of SGLang's gateway and of vllm-router. */
const CACHE_THRESHOLD = 0.3;
const BALANCE_ABS_THRESHOLD = 64;
const BALANCE_REL_THRESHOLD = 1.5;
const MAX_TREE_BYTES = 2 ** 26;
const EVICTION_INTERVAL_MS = 120_000;

/** A block of text in the tree: who was sent it, and when last, ms. */
type Holders = Map<number, number>;

/**
 * `cache_aware` of SGLang's gateway and of vllm-router: one tree of all prompts. When the load is
 * uneven (64 requests and 1.5 times), the least loaded; else, when more than 0.3 of the prompt is in
 * the tree, whoever was sent that last; else whoever has the smallest tree. Pieces of the tree are the
 * proxy's blocks here instead of single characters.
 */
export function radixCacheAware(_oracle: Oracle, time: VirtualTime): Contestant {
  const tree = new Map<number, { readonly bytes: number; readonly holders: Holders }>();
  const sizes = new Map<number, number>();
  let evictedAtMs = 0;

  function add(id: number, blocks: readonly number[], ends: readonly number[]): void {
    blocks.forEach((block, i) => {
      const bytes = (ends[i] ?? 0) - (ends[i - 1] ?? 0);
      const piece = tree.get(block) ?? { bytes, holders: new Map() };
      tree.set(block, piece);
      if (!piece.holders.has(id)) sizes.set(id, (sizes.get(id) ?? 0) + bytes);
      piece.holders.set(id, time.nowMs);
    });
    if (time.nowMs - evictedAtMs >= EVICTION_INTERVAL_MS) evict();
  }

  function evict(): void {
    evictedAtMs = time.nowMs;
    for (const [id, size] of sizes) {
      if (size <= MAX_TREE_BYTES) continue;
      const held = [...tree].filter(([, { holders }]) => holders.has(id));
      held.sort((a, b) => (a[1].holders.get(id) ?? 0) - (b[1].holders.get(id) ?? 0));
      let left = size;
      for (const [, { bytes, holders }] of held) {
        if (left <= MAX_TREE_BYTES) break;
        holders.delete(id);
        left -= bytes;
      }
      sizes.set(id, left);
    }
  }

  return {
    strategy: (asked, candidates, random) => {
      const loads = candidates.map(({ load }) => load);
      const [least, most] = [Math.min(...loads), Math.max(...loads)];
      if (most - least > BALANCE_ABS_THRESHOLD && most > BALANCE_REL_THRESHOLD * least) {
        return lowestCost(candidates, ({ load }) => load, random);
      }
      let matched = -1;
      while ((tree.get(asked.blocks[matched + 1] ?? -1)?.holders.size ?? 0) > 0) matched += 1;
      const holders = tree.get(asked.blocks[matched] ?? -1)?.holders;
      const share = (asked.blockEnds[matched] ?? 0) / Math.max(1, asked.promptBytes);
      if (holders !== undefined && share > CACHE_THRESHOLD) {
        const latest = Math.max(...holders.values());
        const holder = candidates.find(({ id }) => holders.get(id) === latest);
        if (holder !== undefined) return holder;
      }
      return lowestCost(candidates, ({ id }) => sizes.get(id) ?? 0, random);
    },
    knowledge: [
      {
        fill: () => {},
        listener: {
          leaseStarted: ({ node, asked }) => add(node.id, asked.blocks, asked.blockEnds),
        },
      },
    ],
  };
}
