import { minCacheUsage } from "./min-cache-usage.ts";
import { minExpectedLatency } from "./min-expected-latency.ts";
import { minObservedLatency } from "./min-observed-latency.ts";
import { random } from "./random.ts";
import type { Strategy } from "./strategy.ts";

/** The strategies by the name users give with `--strategy`. */
export const STRATEGIES = {
  random,
  min_expected_latency: minExpectedLatency,
  min_observed_latency: minObservedLatency,
  min_cache_usage: minCacheUsage,
} as const satisfies Record<string, Strategy>;

export type StrategyName = keyof typeof STRATEGIES;
