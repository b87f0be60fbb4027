import { minExpectedLatency } from "./min-expected-latency.ts";
import { lowestCost, meanOf, type Strategy } from "./strategy.ts";

/**
 * The lowest KV-cache usage once this request were added. A node without a fresh sample takes the
 * mean of the others plus its own load, so that it neither starves nor draws the whole traffic;
 * when no node has a sample, `min_expected_latency` decides.
 */
export const minCacheUsage: Strategy = (candidates, random) => {
  const meanUsage = meanOf(candidates, (node) => node.cacheUsage, -1);
  if (meanUsage < 0) return minExpectedLatency(candidates, random);
  return lowestCost(
    candidates,
    (node) =>
      ((node.cacheUsage ?? meanUsage + node.load * node.cacheShare) + node.cacheShare) /
      node.weight,
    random,
  );
};
