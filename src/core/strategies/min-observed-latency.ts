import { lowestCost, meanOf, type Strategy } from "./strategy.ts";

/**
 * The lowest mean of the last latencies × `(unfinished + 1)`. A node without history takes the
 * mean of the others: an infinite latency would starve it, zero would give it everything. One that
 * joins the others takes it in the measure in which it is not brought in yet: the first answers are
 * the short ones, and after those alone it would look many times faster than it is.
 */
export const minObservedLatency: Strategy = (_asked, candidates, random, note) => {
  const meanMs = meanOf(candidates, (node) => node.meanLatencyMs, 1);
  const warmest = candidates.reduce((most, { weight }) => Math.max(most, weight), 0);
  return lowestCost(
    candidates,
    ({ meanLatencyMs, weight, load }) => {
      const trust = weight / warmest;
      const latencyMs = trust * (meanLatencyMs ?? meanMs) + (1 - trust) * meanMs;
      // A latency of zero would hide the load: 1 µs is below anything a network can do.
      return (Math.max(latencyMs, 0.001) * (load + 1)) / weight;
    },
    random,
    note,
  );
};
