import { lowestCost, meanOf, type Strategy } from "./strategy.ts";

/**
 * The lowest mean of the last latencies × `(unfinished + 1)`. A node without history takes the
 * mean of the others: an infinite latency would starve it, zero would give it everything.
 */
export const minObservedLatency: Strategy = (candidates, random) => {
  const meanMs = meanOf(candidates, (node) => node.meanLatencyMs, 1);
  return lowestCost(
    candidates,
    // A latency of zero would hide the load: 1 µs is below anything a network can do.
    (node) => (Math.max(node.meanLatencyMs ?? meanMs, 0.001) * (node.load + 1)) / node.weight,
    random,
  );
};
