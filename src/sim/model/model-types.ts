/** What goes into an `EngineModel` and what comes out of it. */
import type { BlockHash } from "./kv-cache.ts";

export interface ModelRequest {
  /** Unique among the requests under way. */
  readonly id: string;
  /** At least 1. */
  readonly promptTokens: number;
  /** Tokens it will generate, at least 1. */
  readonly answerTokens: number;
  /** One hash for each full block of the prompt, from its start; without them nothing is shared. */
  readonly blockHashes?: readonly BlockHash[];
  /** The prompt's KV cache is fetched from a prefill engine instead of computed (DistServe). */
  readonly migrated?: boolean;
  /** Blocks outlive the request, until `releasePreserved` (DistServe). */
  readonly preserve?: boolean;
}

export type ModelEvent =
  | {
      readonly kind: "token";
      readonly id: string;
      readonly atMs: number;
      /** Counts from 1; the first marks the end of the prefill. */
      readonly index: number;
      /** With the first, when there are any: prompt tokens that the prefix cache had. */
      readonly cachedTokens?: number;
    }
  | { readonly kind: "finished"; readonly id: string; readonly atMs: number };

export interface ModelStats {
  readonly running: number;
  readonly waiting: number;
  readonly totalBlocks: number;
  /** Blocks that a sequence or a preserved request refers to. */
  readonly usedBlocks: number;
  /** Blocks that only the prefix cache holds. */
  readonly cachedBlocks: number;
  readonly preservedRequests: number;
  readonly preservedBlocks: number;
  /** (used + cached) / total, 0 to 1, as LMDeploy's gauge counted until 0.18. */
  readonly usage: number;
  /** used / total, 0 to 1, as the gauges of all engines count today. */
  readonly usageWithoutCached: number;
  /** Since the start: prompt tokens computed, found in the prefix cache, tokens generated. */
  readonly computedPromptTokens: number;
  /** Of requests that were admitted: tokens of their prompts, but for those fetched. */
  readonly askedPromptTokens: number;
  readonly cachedPromptTokens: number;
  /** The same two of requests that have ended. */
  readonly finishedPromptTokens: number;
  readonly finishedCachedTokens: number;
  readonly generatedTokens: number;
  readonly preemptions: number;
}
