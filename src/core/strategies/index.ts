import { minCacheUsage } from "./min-cache-usage.ts";
import { minExpectedLatency } from "./min-expected-latency.ts";
import { minObservedLatency } from "./min-observed-latency.ts";
import { powerOfTwo } from "./power-of-two.ts";
import { prefixAware } from "./prefix-aware.ts";
import { random } from "./random.ts";
import { rendezvousHash } from "./rendezvous-hash.ts";
import { roundRobin } from "./round-robin.ts";
import { sticky } from "./sticky.ts";
import { stickyLeastLoaded } from "./sticky-least-loaded.ts";
import type { Strategy } from "./strategy.ts";

/** The strategies by the name users give with `--strategy`. */
export const STRATEGIES = {
  prefix_aware: prefixAware,
  random,
  round_robin: roundRobin,
  power_of_two: powerOfTwo,
  consistent_hash: rendezvousHash,
  rendezvous_hash: rendezvousHash,
  sticky_least_loaded: stickyLeastLoaded,
  min_expected_latency: minExpectedLatency,
  min_observed_latency: minObservedLatency,
  min_cache_usage: minCacheUsage,
} as const satisfies Record<string, Strategy>;

export type StrategyName = keyof typeof STRATEGIES;

export function isStrategyName(name: string): name is StrategyName {
  return Object.hasOwn(STRATEGIES, name);
}

/** In the order in which help and errors list them. */
export const STRATEGY_NAMES: readonly StrategyName[] =
  Object.keys(STRATEGIES).filter(isStrategyName);

const NAMES = new Map<Strategy, string>(
  Object.entries(STRATEGIES).map(([name, strategy]) => [strategy, name]),
);

/** The strategy with `--sticky`. */
export function withSessions(name: StrategyName): Strategy {
  const over: Strategy = STRATEGIES[name];
  if (over === stickyLeastLoaded) return over;
  const strategy = sticky(over);
  NAMES.set(strategy, `${name}, sticky`);
  return strategy;
}

/** The name of a strategy, or null for one that users cannot give. */
export function strategyName(strategy: Strategy): string | null {
  return NAMES.get(strategy) ?? null;
}

/** Names that other routers have for them. */
export const STRATEGY_ALIASES: Readonly<Record<string, StrategyName>> = {
  cache_aware: "prefix_aware",
  manual: "sticky_least_loaded",
};
