import { mayBeAtOthers } from "../core/admission/refusals.ts";
import type { Role } from "../core/engine/roles.ts";
import type { Wanted } from "../core/pool/choose.ts";
import { Lease } from "../core/pool/lease.ts";
import type { Node } from "../core/pool/node.ts";
import { isRefusal } from "../core/pool/statuses.ts";
import { isRetriable, RetryState } from "../core/retry.ts";
import { Attempt } from "./attempt.ts";
import { Refusal } from "./refusal.ts";
import type { Reply } from "./reply.ts";
import type { InferenceRequest } from "./request.ts";
import {
  discard,
  isFoundDead,
  isRefused,
  type Result,
  settle,
  type Unread,
  type Upstream,
  worthRetrying,
} from "./send.ts";
import { TimeLeft } from "./time-left.ts";
import { isNodesFault } from "./whose-fault.ts";

/** One request's attempts: which nodes it has tried, and whether and where it has another one. */
export class Retrying {
  /** What it needs of a node. */
  readonly wanted: Wanted;
  readonly #request: InferenceRequest;
  readonly #upstream: Upstream;
  readonly #retries: RetryState;
  readonly #tried = new Set<Node>();
  /** What its client gets should no peer of the node that refused it have a word on it. */
  #refusal: Refusal | null = null;

  constructor(request: InferenceRequest, upstream: Upstream, role: Role) {
    this.#request = request;
    this.#upstream = upstream;
    const { model, called, asked, kept, exchange } = request;
    const only = kept?.keeper ?? null;
    const { explainer } = exchange;
    this.wanted = { model, called, role, asked, tried: this.#tried, explainer, only };
    this.#retries = new RetryState(upstream.retryRules, () => draw(request, upstream.budgets));
  }

  /** The next attempt, for which `lease` is reserved. */
  begin(lease: Lease, requestStartedAtMs = lease.startedAtMs): Attempt {
    this.#request.exchange.attempt(lease);
    const attempt = new Attempt(lease, requestStartedAtMs);
    attempt.mayMove = () => this.#mayMove();
    return attempt;
  }

  /** Whether it could go on elsewhere, were its attempt taken back now. */
  #mayMove(): boolean {
    if (this.#refusal !== null) return true;
    return this.#retries.maySendAgain && this.#upstream.registry.hasAnother(this.wanted);
  }

  /** Whether an answer of the attempt with `lease` is left unread for now, since another node may do better. */
  isUnread(status: number, lease: Lease): boolean {
    const { kept } = this.#request;
    if (isRetriable(status) || (kept?.isSought === true && NOT_THERE.has(status))) return true;
    return isRefusal(status) && this.#upstream.registry.mayAskPeer(lease, status, this.wanted);
  }

  /** An answer is handed on: its stream may go on for long, and what may move it is kept as long. */
  relayed(): void {
    this.#refusal = null;
  }

  /** Reserves a node for another attempt after one that ended in `result`; null when there is to be none. */
  async next(attempt: Attempt, result: Result): Promise<Lease | null> {
    const request = this.#request;
    const { registry } = this.#upstream;
    const { node } = attempt.lease;
    this.#tried.add(node);
    if (isNotThere(result, request)) request.kept?.isNotAt(node);
    const mayRetry = await this.#mayRetry(attempt, result);
    // Its client may have left while the node was asked: then its line is written, and this is no attempt.
    if (!mayRetry || request.exchange.signal.aborted) return null;
    const refused = isRefused(result) ? attempt.lease : null;
    const lease = registry.acquire(
      { ...this.wanted, hasAnswer: result.kind === "unread" },
      refused,
    );
    if (!(lease instanceof Lease) && !(lease === "full" && this.#mayWait(attempt, result))) {
      return null;
    }
    if (result.kind === "unread") discard(attempt, result, this.#upstream);
    if (!isNotThere(result, request)) this.#refusal ??= Refusal.of(attempt, result);
    return lease instanceof Lease ? lease : await this.#placeElsewhere(attempt.requestStartedAtMs);
  }

  async #mayRetry(attempt: Attempt, result: Result): Promise<boolean> {
    const { lease } = attempt;
    // What was tried although all were out is tried once, unless its node was found dead: others are full at best.
    if (lease.lastResort && !isFoundDead(attempt, result)) return false;
    if (await hasMoved(attempt, result, this.wanted, this.#upstream)) return true;
    // Before the budget: it is for retries that are made.
    const hasAnswer = result.kind === "unread";
    if (!this.#upstream.registry.hasAnother({ ...this.wanted, hasAnswer })) return false;
    return (
      isNotThere(result, this.#request) ||
      worthRetrying(attempt, result, this.#retries, this.#upstream) ||
      (this.#retries.mayFollowNodesFault &&
        (await isNodesFault(lease, result, this.wanted, this.#upstream)))
    );
  }

  /** Whether it may wait for a place. Refused for itself, so it seems: another node may see it otherwise, but not after a wait. */
  #mayWait({ lease }: Attempt, result: Result): boolean {
    if (!this.#upstream.admission.mayWait || this.#refusal !== null) return false;
    return isNotThere(result, this.#request) || lease.modelIsGone || !isRefused(result);
  }

  /** Others could take the request, and are full: it waits like everybody, ahead of those that have no place yet. */
  async #placeElsewhere(startedAtMs: number): Promise<Lease> {
    const { asked, exchange } = this.#request;
    const { admission, registry, deadlines, after } = this.#upstream;
    const time = new TimeLeft(exchange.signal, after);
    time.begin(deadlines.leftMs(startedAtMs));
    try {
      const take = () => registry.acquire(this.wanted);
      return (await admission.proceed(this.wanted, asked.client, time.signal, take)).lease;
    } finally {
      time.stop();
    }
  }

  /** There is no further attempt: the client gets the best there is. */
  async settle(attempt: Attempt, result: Result): Promise<Reply> {
    const request = this.#request;
    this.#noteNoNode(attempt, result);
    if (this.#refusal?.betters(result) === true) {
      if (result.kind === "unread") discard(attempt, result, this.#upstream);
      return this.#refusal.handOn(request, this.#upstream);
    }
    if (isNotThere(result, request)) this.#assureAllHeard(attempt, result);
    return await settle(attempt, result, request, this.#upstream);
  }

  /** Notes that nothing but another node was wanting for a retry. */
  #noteNoNode(attempt: Attempt, result: Result): void {
    const { registry, retryRules } = this.#upstream;
    const rules = new RetryState(retryRules, () => true);
    if (registry.hasAnother(this.wanted) || isRefused(result)) return;
    if (worthRetrying(attempt, result, rules, this.#upstream)) {
      this.#request.exchange.notRetried = "no_node";
    }
  }

  /** @throws ProxyError when some node could not be asked: that the others have it not is no 404 then. */
  #assureAllHeard(attempt: Attempt, result: Unread): void {
    const { registry } = this.#upstream;
    const { kept } = this.#request;
    const { model, role } = this.wanted;
    const serving = registry.serving(model, role);
    // One that has not said yet what it serves, as those that are out when the proxy starts, may serve this, too.
    const nodes = registry
      .serving(null, role)
      .filter((node) => (!node.saysModels && node.noList === null) || serving.includes(node));
    const unheard = kept?.unheard(nodes) ?? 0;
    if (unheard === 0) return;
    discard(attempt, result, this.#upstream);
    throw mayBeAtOthers(unheard, nodes.length);
  }
}

/** What engines say of a response that they have not, or of a call that they do not know. */
const NOT_THERE: ReadonlySet<number> = new Set([404, 405, 501]);

/** Whether another node may have what this one has not; nothing is known of it. */
function isNotThere(result: Result, { kept }: InferenceRequest): result is Unread {
  return kept?.isSought === true && result.kind === "unread" && NOT_THERE.has(result.status);
}

/** Takes a retry from the budget of its model, and notes when there is none. */
export function draw({ model, exchange }: InferenceRequest, budgets: Upstream["budgets"]): boolean {
  const granted = budgets.draw(model);
  if (!granted) exchange.notRetried = "no_budget";
  return granted;
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
