/** What others have published, to measure our strategies by. */
import type { ReplayOptions } from "../replay.ts";
import { llmD } from "./llm-d.ts";
import { lmetric } from "./lmetric.ts";
import { peakEwma } from "./peak-ewma.ts";
import { radixCacheAware } from "./radix-cache-aware.ts";

export interface Yardstick {
  readonly make: ReplayOptions["contestant"]["make"];
  /** It is shown what no proxy can know. */
  readonly isOracle: boolean;
}

export const YARDSTICKS: Readonly<Record<string, Yardstick>> = {
  peak_ewma: { make: peakEwma, isOracle: false },
  radix_cache_aware: { make: radixCacheAware, isOracle: false },
  llm_d: { make: llmD, isOracle: true },
  lmetric: { make: lmetric, isOracle: true },
};
