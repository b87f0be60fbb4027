import type { RetryState } from "../core/retry.ts";
import type { Attempt } from "../upstream/attempt.ts";
import type { InferenceRequest } from "../upstream/request.ts";
import { hasMoved } from "../upstream/retrying.ts";
import { isFoundDead, type Result, type Upstream, worthRetrying } from "../upstream/send.ts";
import { isNodesFault } from "../upstream/whose-fault.ts";
import type { Route } from "./route.ts";

/** Of the request whose attempt it was. */
export interface Trying {
  readonly request: InferenceRequest;
  readonly route: Route;
  readonly retries: RetryState;
  readonly upstream: Upstream;
}

/**
 * Whether `request` may begin anew after an attempt that ended in `result`. Lost on the only node of its role, it waits
 * for a word of that first.
 */
export async function mayTryAgain(
  attempt: Attempt,
  result: Result,
  { request, route, retries, upstream }: Trying,
): Promise<boolean> {
  const { lease } = attempt;
  const isLost = result.kind === "lost" && retries.maySendAgain;
  if (isLost && route.hasTime && route.isOnly(lease.node)) {
    const wasOut = await route.heard(lease.node);
    if (wasOut === null) request.exchange.notRetried = "no_node";
    return wasOut !== null && retries.afterFailure("lost", wasOut);
  }
  // What was tried although all were out is tried once, unless its node was found dead and another is back; refused, it
  // was not.
  const mayMove = isFoundDead(attempt, result) && route.hasAnother(lease.node.role);
  if (lease.lastResort && result.kind !== "refused" && !mayMove) return false;
  const wanted = route.wantedOf(lease.node.role);
  if (await hasMoved(attempt, result, wanted, upstream)) return true;
  if (worthRetrying(attempt, result, retries, upstream)) return true;
  return retries.mayFollowNodesFault && isNodesFault(lease, result, wanted, upstream);
}
