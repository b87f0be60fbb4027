import { lowestCost, type Strategy } from "./strategy.ts";

/** Of two drawn by chance the one with less in flight (Mitzenmacher, 2001). */
export const powerOfTwo: Strategy = (_asked, candidates, random, note) => {
  const first = Math.floor(random() * candidates.length);
  const step = 1 + Math.floor(random() * (candidates.length - 1));
  const second = (first + step) % candidates.length;
  const two = candidates.filter((_, i) => i === first || i === second);
  return lowestCost(two, ({ load, weight }) => (load + 1) / weight, random, note);
};
