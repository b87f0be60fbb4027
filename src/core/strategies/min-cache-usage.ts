import { minExpectedLatency } from "./min-expected-latency.ts";
import { lowestCost, type Strategy } from "./strategy.ts";

/**
 * The lowest KV-cache usage once this request were added: what the node shows in use for every request
 * that we hold there, times what we hold now. The last sample itself does not count: gauges are
 * refreshed every 10 s and read every 5, and whoever looked empty in them would get everything until the
 * next. When no node has a fresh sample, `min_expected_latency` decides.
 */
export const minCacheUsage: Strategy = (asked, candidates, random, note) => {
  const isKnown = candidates.some((node) => node.cacheUsage !== null);
  if (!isKnown) return minExpectedLatency(asked, candidates, random, note);
  return lowestCost(
    candidates,
    ({ load, usagePerRequest, weight }) => ((load + 1) * usagePerRequest) / weight,
    random,
    note,
  );
};
