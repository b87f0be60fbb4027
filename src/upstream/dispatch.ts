import { Admitted } from "../core/admission/admission.ts";
import { mayBeAtOthers } from "../core/admission/refusals.ts";
import type { Role } from "../core/engine/roles.ts";
import { CLIENT_GONE } from "../core/exchange.ts";
import type { Wanted } from "../core/pool/choose.ts";
import { Lease } from "../core/pool/lease.ts";
import type { Node } from "../core/pool/node.ts";
import { isRefusal } from "../core/pool/statuses.ts";
import { isRetriable, RetryState } from "../core/retry.ts";
import { Attempt } from "./attempt.ts";
import { itsPlace } from "./its-place.ts";
import { Refusal } from "./refusal.ts";
import { givenUp, type Reply } from "./reply.ts";
import { type InferenceRequest, isCancelled } from "./request.ts";
import {
  discard,
  isRefused,
  type Result,
  send,
  settle,
  type Unread,
  type Upstream,
  worthRetrying,
} from "./send.ts";
import { TimeLeft } from "./time-left.ts";
import { isNodesFault } from "./whose-fault.ts";

/**
 * Answers a request by one node of `role`: choose and reserve one, send, hand the answer on; when it
 * fails before its first byte, go round again with another node, as the retry rules allow.
 * @throws ProxyError when no node could answer.
 */
export async function dispatch(
  request: InferenceRequest,
  upstream: Upstream,
  role: Role = "Hybrid",
): Promise<Reply> {
  const { admission, budgets, registry, retryRules } = upstream;
  const { exchange, kept, called } = request;
  const tried = new Set<Node>();
  const { explainer } = exchange;
  const only = kept?.keeper ?? null;
  const { model, asked } = request;
  const wanted = { model, called, role, asked, tried, explainer, only };
  const mayBetter = kept?.isSought === true ? mayBeElsewhere : isRetriable;
  let place: Admitted;
  try {
    const admitted = admission.admit(wanted, request.client, request.signal);
    place = admitted instanceof Admitted ? admitted : await itsPlace(admitted, request);
  } catch (error) {
    if (request.signal.aborted) return givenUp(request.signal);
    throw error;
  }
  exchange.admitted(place.lease.startedAtMs);
  budgets.request(request.model);
  const retries = new RetryState(retryRules, () => draw(request, budgets));
  let attempt = new Attempt(place.lease);
  let refusal: Refusal | null = null;
  const mayMove = () =>
    refusal !== null ||
    (!attempt.lease.lastResort && retries.maySendAgain && registry.hasAnother(wanted));
  attempt.mayMove = mayMove;
  const isUnread = (status: number) =>
    mayBetter(status) || (isRefusal(status) && registry.mayAskPeer(attempt.lease, status, wanted));
  exchange.attempt(place.lease);
  const leave = () => {
    attempt.stopWith(request.signal);
    if (!isCancelled(request.signal)) exchange.end(CLIENT_GONE);
  };
  request.signal.on(leave);
  try {
    for (;;) {
      if (request.signal.aborted) attempt.stopWith(request.signal);
      const result = await send(attempt, request, upstream, isUnread);
      if (result.kind === "relayed") {
        // Its stream may go on for long, and what may move it is kept as long.
        refusal = null;
        return result.reply;
      }
      const { node } = attempt.lease;
      tried.add(node);
      if (isNotThere(result, request)) kept?.isNotAt(node);
      const mayRetry =
        !attempt.lease.lastResort &&
        ((await hasMoved(attempt, result, wanted, upstream)) ||
          // Before the budget: it is for retries that are made.
          (registry.hasAnother(wanted) &&
            (isNotThere(result, request) ||
              worthRetrying(attempt, result, retries, upstream) ||
              (retries.mayFollowNodesFault &&
                (await isNodesFault(attempt.lease, result, wanted, upstream))))));
      // Its client may have left while the node was asked: then its line is written, and this is no attempt.
      const refused = isRefused(result) ? attempt.lease : null;
      const again = { ...wanted, hasAnswer: result.kind === "unread" };
      let lease = mayRetry && !request.signal.aborted ? registry.acquire(again, refused) : null;
      // Refused for itself, so it seems: another node may see it otherwise, but not after a wait.
      const mayWait =
        lease === "full" &&
        admission.mayWait &&
        refusal === null &&
        (isNotThere(result, request) || attempt.lease.modelIsGone || !isRefused(result));
      if (!mayWait && !(lease instanceof Lease)) {
        noteNoNode(attempt, result, wanted, request, upstream);
        if (refusal?.betters(result) === true) {
          if (result.kind === "unread") discard(attempt, result, upstream);
          return refusal.handOn(request, upstream);
        }
        if (isNotThere(result, request)) assureAllHeard(attempt, result, request, upstream, role);
        return await settle(attempt, result, request, upstream);
      }
      if (result.kind === "unread") discard(attempt, result, upstream);
      if (!isNotThere(result, request)) refusal ??= Refusal.of(attempt, result);
      if (!(lease instanceof Lease)) {
        lease = await placeElsewhere(wanted, request, upstream, attempt.requestStartedAtMs);
      }
      place.hold(lease);
      exchange.attempt(lease);
      attempt = new Attempt(lease, attempt.requestStartedAtMs);
      attempt.mayMove = mayMove;
    }
  } catch (error) {
    if (request.signal.aborted) return givenUp(request.signal);
    throw error;
  } finally {
    place.drop();
  }
}

/** Whether another node may have what this one has not; nothing is known of it. */
function isNotThere(result: Result, { kept }: InferenceRequest): result is Unread {
  return kept?.isSought === true && result.kind === "unread" && NOT_THERE.has(result.status);
}

/** @throws ProxyError when some node could not be asked: that the others have it not is no 404 then. */
function assureAllHeard(
  attempt: Attempt,
  result: Unread,
  { kept, model }: InferenceRequest,
  upstream: Upstream,
  role: Role,
): void {
  const { registry } = upstream;
  const serving = registry.serving(model, role);
  // One that has not said yet what it serves, as those that are out when the proxy starts, may serve this, too.
  const nodes = registry
    .serving(null, role)
    .filter((node) => (!node.saysModels && node.noList === null) || serving.includes(node));
  const unheard = kept?.unheard(nodes) ?? 0;
  if (unheard === 0) return;
  discard(attempt, result, upstream);
  throw mayBeAtOthers(unheard, nodes.length);
}

/** What engines say of a response that they have not, or of a call that they do not know. */
const NOT_THERE: ReadonlySet<number> = new Set([404, 405, 501]);

function mayBeElsewhere(status: number): boolean {
  return NOT_THERE.has(status) || isRetriable(status);
}

/** Takes a retry from the budget of its model, and notes when there is none. */
export function draw({ model, exchange }: InferenceRequest, budgets: Upstream["budgets"]): boolean {
  const granted = budgets.draw(model);
  if (!granted) exchange.notRetried = "no_budget";
  return granted;
}

/** Notes that nothing but another node was wanting for a retry. */
function noteNoNode(
  attempt: Attempt,
  result: Result,
  wanted: Wanted,
  { exchange }: InferenceRequest,
  upstream: Upstream,
): void {
  const { registry, retryRules } = upstream;
  const rules = new RetryState(retryRules, () => true);
  if (registry.hasAnother(wanted) || isRefused(result)) return;
  if (worthRetrying(attempt, result, rules, upstream)) exchange.notRetried = "no_node";
}

/** Others could take the request, and are full: it waits like everybody, ahead of those that have no place yet. */
async function placeElsewhere(
  wanted: Wanted,
  { client, signal }: InferenceRequest,
  { admission, registry, deadlines, after }: Upstream,
  startedAtMs: number,
): Promise<Lease> {
  const time = new TimeLeft(signal, after);
  time.begin(deadlines.leftMs(startedAtMs));
  try {
    const take = () => registry.acquire(wanted);
    return (await admission.proceed(wanted, client, time.signal, take)).lease;
  } finally {
    time.stop();
  }
}

/**
 * Whether the node answered 404 since it has unloaded the model, an adapter maybe, that others serve: those
 * that are known to, or that say so now.
 */
export async function hasMoved(
  { lease }: Attempt,
  result: Result,
  wanted: Wanted,
  { registry, retryRules, stillServes, find }: Upstream,
): Promise<boolean> {
  const { model, role } = wanted;
  if (result.kind !== "unread" || result.status !== 404 || model === null) return false;
  if (registry.nodes().length < 2 || (await stillServes(lease.node, model))) return false;
  lease.modelIsGone = true;
  if (!retryRules.retry) return false;
  if (!registry.hasAnother(wanted)) await find(model, role);
  return registry.hasAnother(wanted);
}
