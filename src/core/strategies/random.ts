import { meanOf, type Strategy } from "./strategy.ts";

/** By chance, weighted by speed; a node without a speed counts as the mean of those that have one. */
export const random: Strategy = (_asked, candidates, draw) => {
  const meanSpeed = meanOf(candidates, (node) => node.speed, 1);
  let total = 0;
  for (const node of candidates) total += (node.speed ?? meanSpeed) * node.weight;
  let left = draw() * total;
  for (const node of candidates) {
    left -= (node.speed ?? meanSpeed) * node.weight;
    if (left < 0) return node;
  }
  const last = candidates.at(-1);
  if (last === undefined) throw new Error("a strategy needs at least one candidate");
  return last;
};
