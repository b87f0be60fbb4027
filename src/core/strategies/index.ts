import { minCacheUsage } from "./min-cache-usage.ts";
import { minExpectedLatency } from "./min-expected-latency.ts";
import { minObservedLatency } from "./min-observed-latency.ts";
import { powerOfTwo } from "./power-of-two.ts";
import { prefixAware } from "./prefix-aware.ts";
import { random } from "./random.ts";
import { rendezvousHash } from "./rendezvous-hash.ts";
import { roundRobin } from "./round-robin.ts";
import type { Strategy } from "./strategy.ts";

/** The strategies by the name users give with `--strategy`. */
export const STRATEGIES = {
  prefix_aware: prefixAware,
  random,
  round_robin: roundRobin,
  power_of_two: powerOfTwo,
  consistent_hash: rendezvousHash,
  rendezvous_hash: rendezvousHash,
  min_expected_latency: minExpectedLatency,
  min_observed_latency: minObservedLatency,
  min_cache_usage: minCacheUsage,
} as const satisfies Record<string, Strategy>;

const NAMES: ReadonlyMap<Strategy, string> = new Map(
  Object.entries(STRATEGIES).map(([name, strategy]) => [strategy, name]),
);

/** The name of a strategy, or null for one that users cannot give. */
export function strategyName(strategy: Strategy): string | null {
  return NAMES.get(strategy) ?? null;
}

/** Names that other routers have for them. */
export const STRATEGY_ALIASES: Readonly<Record<string, StrategyName>> = {
  cache_aware: "prefix_aware",
};

export type StrategyName = keyof typeof STRATEGIES;
