import { lowestCost, type Strategy } from "./strategy.ts";

/**
 * The least waiting for first words, this request's and those of requests to come. It waits for the
 * prompts before it and for what the node has to compute of its own (its length less what the node is
 * expected to have in its prefix cache), by the speed that the node has shown. Its own part delays whoever
 * comes until the node is idle again: a queue with work of V s, taken up by itself alone, makes later
 * requests wait for V² / 2 times their rate over the share of idle time (the integral of the work in an
 * M/G/1 queue, Kleinrock 1976), and what counts is by how much this request raises that.
 *
 * And of the requests in flight the square root, since a batch slows a prefill, but by less than in
 * proportion. (LMetric, arXiv 2603.15202, takes the product of work and batch; the root waits less for the
 * first token.) Squared here, so that without prompts it is `min_expected_latency`.
 */
export const prefixAware: Strategy = (asked, candidates, random, note) =>
  lowestCost(
    candidates,
    ({ cachedBytes, queuedBytes, prefillBytesPerS, delayedPerS, load, weight }) => {
      const uncachedBytes = Math.max(1, asked.promptBytes - cachedBytes);
      const queuedS = queuedBytes / prefillBytesPerS;
      const ownS = uncachedBytes / prefillBytesPerS;
      const waitS = queuedS + ownS + delayedPerS * ownS * (queuedS + ownS / 2);
      return (waitS * waitS * (load + 1)) / weight;
    },
    random,
    note,
  );
prefixAware.needs = ["prompt"];
