import { lowestCost, type Strategy } from "./strategy.ts";

/**
 * Whoever had a request longest ago: with nodes that stay, each in turn. One that is being brought in is
 * passed over as often as its weight says.
 */
export const roundRobin: Strategy = (_asked, candidates, random, note) =>
  lowestCost(
    candidates,
    ({ lastTurn, weight }) =>
      weight === 1 || random() < weight ? lastTurn : Number.MAX_SAFE_INTEGER,
    random,
    note,
  );
