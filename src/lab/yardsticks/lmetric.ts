import { lowestCost } from "../../core/strategies/strategy.ts";
import type { Contestant, Oracle } from "../contestant.ts";
import { batchSize, pendingTokens, uncachedTokens } from "./oracle.ts";

/**
 * LMetric (arXiv 2603.15202, March 2026): the prompt tokens that the instance would have to compute,
 * this request's included, times its batch size with this request. It has no parameter. Here it is
 * shown the engines' own state.
 */
export function lmetric(oracle: Oracle): Contestant {
  return {
    strategy: (_asked, candidates, random) =>
      lowestCost(
        candidates,
        ({ id }) => {
          const engine = oracle.engineOf(id);
          const request = oracle.current();
          if (engine === undefined || request === null) return 0;
          return (
            (pendingTokens(engine) + uncachedTokens(engine, request)) * (batchSize(engine) + 1)
          );
        },
        random,
      ),
    knowledge: [],
  };
}
