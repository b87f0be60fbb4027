import { type Admission, Admitted } from "../core/admission.ts";
import { ProxyError } from "../core/errors.ts";
import { Lease } from "../core/lease.ts";
import type { Node } from "../core/node.ts";
import { shuttingDown } from "../core/refusals.ts";
import type { Registry } from "../core/registry.ts";
import { isRetriable, type RetryRules, RetryState } from "../core/retry.ts";
import { Attempt, type Unanswered } from "./attempt.ts";
import type { RetryBudgets } from "./budgets.ts";
import type { Deadlines } from "./deadlines.ts";
import { discard, type Fetch, forward } from "./forward.ts";
import { relay } from "./relay.ts";
import type { InferenceRequest } from "./request.ts";

/** What sending a request needs; made once, shared by both serving strategies. */
export interface Upstream {
  readonly registry: Registry;
  readonly admission: Admission;
  readonly deadlines: Deadlines;
  readonly budgets: RetryBudgets;
  readonly retryRules: RetryRules;
  readonly fetch: Fetch;
  /** Monotonic clock, ms. */
  readonly now: () => number;
}

/** What a client that has left would get; nobody reads it. */
const CLIENT_GONE = 499;

/** One attempt's result: handed on to the client, an answer still unread that another node may better, or none. */
type Result =
  | { readonly kind: "relayed"; readonly response: Response }
  | { readonly kind: "unread"; readonly answer: Response }
  | Unanswered;

/**
 * Answers a request by one Hybrid node: choose and reserve one, send, hand the answer on; when it
 * fails before its first byte, go round again with another node, as the retry rules allow.
 * @throws ProxyError when no node could answer.
 */
export async function dispatch(request: InferenceRequest, upstream: Upstream): Promise<Response> {
  const { admission, budgets, registry, retryRules } = upstream;
  const tried = new Set<Node>();
  const wanted = { model: request.model, role: "Hybrid" as const, tried };
  let place: Admitted;
  try {
    const admitted = admission.admit(wanted, request.client, request.signal);
    place = admitted instanceof Admitted ? admitted : await admitted;
  } catch (error) {
    if (request.signal.aborted) return new Response(null, { status: CLIENT_GONE });
    throw error;
  }
  budgets.request(request.model);
  const retries = new RetryState(retryRules, () => budgets.draw(request.model));
  let attempt = new Attempt(place.lease);
  request.signal.addEventListener("abort", () => attempt.stop("client_gone"));
  try {
    for (;;) {
      if (request.signal.aborted) attempt.stop("client_gone");
      const result = await attemptOnce(attempt, request, upstream);
      tried.add(attempt.lease.node);
      const mayRetry = !attempt.lease.lastResort && worthRetrying(attempt, result, retries);
      const lease = mayRetry ? registry.acquire(wanted) : null;
      if (!(lease instanceof Lease)) return await settle(attempt, result, request, upstream);
      if (result.kind === "unread") discard(attempt, result.answer);
      place.hold(lease);
      attempt = new Attempt(lease, attempt.requestStartedAtMs);
    }
  } finally {
    place.drop();
  }
}

async function attemptOnce(
  attempt: Attempt,
  request: InferenceRequest,
  upstream: Upstream,
): Promise<Result> {
  upstream.deadlines.watch(attempt);
  const answer = await forward(attempt, request, upstream.fetch);
  if (!(answer instanceof Response)) return answer;
  if (isRetriable(answer.status)) return { kind: "unread", answer };
  const response = await relay(attempt, answer, request, upstream.now);
  return response instanceof Response ? { kind: "relayed", response } : response;
}

function worthRetrying(attempt: Attempt, result: Result, retries: RetryState): boolean {
  // That limit is the whole request's.
  if (attempt.stopped === "total_timeout") return false;
  switch (result.kind) {
    case "relayed":
      return false;
    case "unread":
      return retries.afterStatus(result.answer.status);
    case "stopped":
      // The node went out under a request it had: as good as a lost connection.
      return result.why === "node_ejected" && retries.afterFailure("lost");
    default:
      return retries.afterFailure(result.kind);
  }
}

/** No further attempt: the client gets what there is. */
async function settle(
  attempt: Attempt,
  result: Result,
  request: InferenceRequest,
  upstream: Upstream,
): Promise<Response> {
  if (result.kind === "relayed") return result.response;
  if (result.kind !== "unread") return giveUp(result);
  const response = await relay(attempt, result.answer, request, upstream.now);
  return response instanceof Response ? response : giveUp(response);
}

/** What the client gets when no attempt is left. */
function giveUp(result: Unanswered): Response {
  if (result.kind === "timeout") {
    throw new ProxyError("upstream_timeout", `The engine took too long: ${result.detail}.`);
  }
  if (result.kind !== "stopped" || result.why === "node_ejected") {
    const detail = result.kind === "stopped" ? "the engine stopped answering" : result.detail;
    throw new ProxyError(
      "upstream_error",
      `The engine did not answer (${detail}), and no other could take the request; try again.`,
    );
  }
  if (result.why === "shutdown") {
    throw shuttingDown();
  }
  return new Response(null, { status: CLIENT_GONE });
}
