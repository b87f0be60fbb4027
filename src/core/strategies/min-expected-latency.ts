import { lowestCost, meanOf, type Strategy } from "./strategy.ts";

/** The lowest `(unfinished + 1) / speed`; a node without a speed counts as the mean of those that have one. */
export const minExpectedLatency: Strategy = (_asked, candidates, random, note) => {
  const meanSpeed = meanOf(candidates, (node) => node.speed, 1);
  return lowestCost(
    candidates,
    (node) => (node.load + 1) / ((node.speed ?? meanSpeed) * node.weight),
    random,
    note,
  );
};
