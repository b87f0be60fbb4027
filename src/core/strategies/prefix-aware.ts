import { lowestCost, type Strategy } from "./strategy.ts";

/**
 * The least prefill work: the prompts that wait on a node and what it would have to compute of this one
 * (its length less what the node is expected to have in its prefix cache), by the speed that the node has
 * shown; and of the requests it has in flight the square root, since a batch slows a prefill, but by less
 * than in proportion. (LMetric, arXiv 2603.15202, takes the product of work and batch; the root waits
 * less for the first token.) Squared here, so that without prompts it is `min_expected_latency`.
 */
export const prefixAware: Strategy = (asked, candidates, random, note) =>
  lowestCost(
    candidates,
    ({ cachedBytes, queuedBytes, prefillBytesPerS, load, weight }) => {
      const uncachedBytes = Math.max(1, asked.promptBytes - cachedBytes);
      const workS = (queuedBytes + uncachedBytes) / prefillBytesPerS;
      return (workS * workS * (load + 1)) / weight;
    },
    random,
    note,
  );
prefixAware.needs = ["prompt"];
