import { PromptKnowledge } from "../core/knowledge/prompt-knowledge.ts";
import { STRATEGIES, type StrategyName } from "../core/strategies/index.ts";
import type { Strategy } from "../core/strategies/strategy.ts";
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
    knowledge: strategy.needs?.includes("prompt") === true ? [new PromptKnowledge(time.now)] : [],
  });
}

function isStrategy(name: string): name is StrategyName {
  return Object.hasOwn(STRATEGIES, name);
}
