import { neededBy } from "../core/knowledge/needed.ts";
import { STRATEGIES, type StrategyName } from "../core/strategies/index.ts";
import type { Strategy } from "../core/strategies/strategy.ts";
import { SESSION_TIMEOUT_MS } from "./cluster.ts";
import type { ReplayOptions } from "./replay.ts";
import { YARDSTICKS } from "./yardsticks/index.ts";

/** Everything that can be put beside each other: the proxy's strategies, then the yardsticks. */
export const CONTESTANT_NAMES: readonly string[] = [
  ...Object.keys(STRATEGIES),
  ...Object.keys(YARDSTICKS),
];

/** Null when there is none of that name. */
export function contestantOf(name: string): ReplayOptions["contestant"]["make"] | null {
  const yardstick = Object.hasOwn(YARDSTICKS, name) ? YARDSTICKS[name] : undefined;
  if (yardstick !== undefined) return yardstick.make;
  if (!isStrategy(name)) return null;
  const strategy: Strategy = STRATEGIES[name];
  return (_oracle, time) => ({
    strategy,
    knowledge: neededBy(new Set(strategy.needs), time.now, SESSION_TIMEOUT_MS).knowledge,
  });
}

function isStrategy(name: string): name is StrategyName {
  return Object.hasOwn(STRATEGIES, name);
}
