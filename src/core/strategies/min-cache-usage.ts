import { minExpectedLatency } from "./min-expected-latency.ts";
import { type Candidate, lowestCost, meanOf, type Strategy } from "./strategy.ts";

/**
 * The lowest KV-cache usage once this request were added. A node without a fresh sample takes the
 * mean of the others, at their mean load: with less load it counts as emptier, with more as fuller.
 * (The mean alone would starve it, since one of the others is always below it; and its own load on top
 * would too, since the mean holds the others' load already.) The request itself adds the same on every
 * node: nodes whose shares differ are compared by what they hold. When no node has a sample,
 * `min_expected_latency` decides.
 */
export const minCacheUsage: Strategy = (asked, candidates, random) => {
  const meanUsage = meanOf(candidates, (node) => node.cacheUsage, -1);
  if (meanUsage < 0) return minExpectedLatency(asked, candidates, random);
  const ofSampled = (read: (node: Candidate) => number) =>
    meanOf(candidates, (node) => (node.cacheUsage === null ? null : read(node)), 0);
  const meanLoad = ofSampled((node) => node.load);
  const share = ofSampled((node) => node.cacheShare);
  return lowestCost(
    candidates,
    (node) => {
      const usage = node.cacheUsage ?? meanUsage + (node.load - meanLoad) * share;
      return (Math.max(usage, 0) + share) / node.weight;
    },
    random,
  );
};
