import { neededBy } from "../core/knowledge/needed.ts";
import { isStrategyName, STRATEGIES, STRATEGY_NAMES } from "../core/strategies/index.ts";
import type { Strategy } from "../core/strategies/strategy.ts";
import { SESSION_TIMEOUT_MS } from "./cluster.ts";
import type { ReplayOptions } from "./replay.ts";
import { YARDSTICKS } from "./yardsticks/index.ts";

/** Everything that can be put beside each other: the proxy's strategies, then the yardsticks. */
export const CONTESTANT_NAMES: readonly string[] = [...STRATEGY_NAMES, ...Object.keys(YARDSTICKS)];

/**
 * `A+B` is A among prefill nodes and B among decode nodes, where a cluster has such. Null when there is
 * none of that name.
 */
export function contestantOf(name: string): ReplayOptions["contestant"]["make"] | null {
  const [first = "", second = first] = name.split("+");
  const [prefill, decode] = [singleOf(first), singleOf(second)];
  if (prefill === null || decode === null || name.split("+").length > 2) return null;
  if (first === second) return prefill;
  return (oracle, time) => {
    const [one, other] = [prefill(oracle, time), decode(oracle, time)];
    return {
      strategy: one.strategy,
      decode: other.strategy,
      knowledge: [...one.knowledge, ...other.knowledge],
    };
  };
}

function singleOf(name: string): ReplayOptions["contestant"]["make"] | null {
  const yardstick = Object.hasOwn(YARDSTICKS, name) ? YARDSTICKS[name] : undefined;
  if (yardstick !== undefined) return yardstick.make;
  if (!isStrategyName(name)) return null;
  const strategy: Strategy = STRATEGIES[name];
  return (_oracle, time) => ({
    strategy,
    knowledge: neededBy(new Set(strategy.needs), time.now, SESSION_TIMEOUT_MS).knowledge,
  });
}
