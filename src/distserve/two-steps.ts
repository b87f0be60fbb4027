import { Admitted } from "../core/admission/admitted.ts";
import type { RequestHead } from "../core/body/request-head.ts";
import { CLIENT_GONE } from "../core/exchange.ts";
import { Lease } from "../core/pool/lease.ts";
import { isRetriable, RetryState } from "../core/retry.ts";
import type { Signal } from "../core/signal.ts";
import { Attempt } from "../upstream/attempt.ts";
import { itsPlace } from "../upstream/its-place.ts";
import { Refusal } from "../upstream/refusal.ts";
import { givenUp, Reply } from "../upstream/reply.ts";
import { type InferenceRequest, isCancelled } from "../upstream/request.ts";
import { draw, hasMoved } from "../upstream/retrying.ts";
import { discard, isRefused, type Result, send, settle } from "../upstream/send.ts";
import type { TimeLeft } from "../upstream/time-left.ts";
import { decodeBody, prefillBody } from "./bodies.ts";
import { excuse, type Failed, failedFor, failedWith, lostBlocks } from "./failed.ts";
import type { DistServeParts } from "./parts.ts";
import { type Prefilled, prefill } from "./prefill.ts";
import { migrationJson } from "./protocol.ts";
import type { Route } from "./route.ts";
import { untilKnown } from "./stale-pair.ts";
import { mayTryAgain, type Trying } from "./try-again.ts";
import { isNobodyThere, isWorthWaiting } from "./until-changed.ts";
import { ELSEWHERE, isBroken, isElsewhere, isGone, isSuspicious, neverTaken } from "./verdicts.ts";

/** One request on its way through prefill and decode, as often as it has to start over. */
export class TwoSteps {
  readonly #request: InferenceRequest;
  readonly #signal: Signal;
  readonly #head: RequestHead;
  readonly #route: Route;
  readonly #parts: DistServeParts;
  readonly #retries: RetryState;
  readonly #trying: Trying;
  /** The attempt that ends when the client leaves; a prefill does not. */
  readonly #current: { attempt: Attempt | null } = { attempt: null };
  /** Where it was refused, or answered with nothing, until a peer gets it. */
  #refused: Lease | null = null;
  /** What it gets should no peer have a word on that. */
  #refusal: Refusal | null = null;
  /** When it was admitted, ms: the total time limit is the whole request's. */
  #startedAtMs = 0;

  /** @param request With headers for engines that take DistServe's fields. */
  constructor(request: InferenceRequest, head: RequestHead, route: Route, parts: DistServeParts) {
    const { budgets, retryRules } = parts.upstream;
    const { exchange } = request;
    this.#request = request;
    this.#signal = exchange.signal;
    this.#head = head;
    this.#route = route;
    this.#parts = parts;
    this.#retries = new RetryState(retryRules, () => draw(request, budgets));
    this.#trying = { request, route, retries: this.#retries, upstream: parts.upstream };
    // Lives as long as the request: it must not hold the bodies as well.
    const current = this.#current;
    exchange.signal.on(() => {
      current.attempt?.stopWith(exchange.signal);
      if (!isCancelled(exchange.signal)) exchange.end(CLIENT_GONE);
    });
  }

  /**
   * @param time Bounds the waits of its route; begins once it is admitted.
   * @throws ProxyError; what the client's signal gives when it left while waiting
   */
  async answer(time: TimeLeft): Promise<Reply> {
    const { admission, budgets, deadlines } = this.#parts.upstream;
    const { wanted, take } = this.#route;
    const admitted = admission.admitWith(wanted, this.#request.asked.client, this.#signal, take);
    const place = admitted instanceof Admitted ? admitted : await itsPlace(admitted, this.#request);
    try {
      this.#request.exchange.admitted();
      this.#startedAtMs = this.#parts.now();
      time.begin(deadlines.leftMs(this.#startedAtMs));
      budgets.request(wanted.model);
      return await this.#run(place);
    } finally {
      place.drop();
    }
  }

  async #run(place: Admitted<Lease | null>): Promise<Reply> {
    const body = prefillBody(this.#request.body, this.#head);
    for (let next: Parameters<Route["prefill"]>[0] = place.lease; ; ) {
      const isRefused = this.#refusal !== null;
      const lease = await this.#route.prefill(next, isRefused).catch(this.#orRefusal);
      if (lease instanceof Reply) return lease;
      // What it was admitted with is held already.
      if (lease !== place.lease) place.hold(lease);
      const result = await this.#prefill(lease, body);
      const answer = "kind" in result ? await this.#decode(place, result) : result;
      if (answer instanceof Reply) return answer;
      if (this.#signal.aborted) {
        answer.discard();
        return givenUp(this.#signal);
      }
      next = answer.mayRetry ? this.#route.take() : "unavailable";
      const startsOver = isNobodyThere(next) && (await this.#startsOver(answer));
      if (startsOver) next = this.#route.again();
      const hasRefusal = !startsOver && (answer.isRefused || this.#refusal !== null);
      const mayWait = !hasRefusal && (isWorthWaiting(next) || this.#route.mayWait);
      const isStuck = typeof next === "string" && !mayWait;
      // What was refused is told as it is: another node is no more than a second opinion.
      if (answer.mayRetry && isStuck && !answer.isRefused)
        this.#request.exchange.notRetried = "no_node";
      if (isStuck || !(answer.mayRetry || startsOver)) {
        if (this.#refusal === null || !answer.saysLess) return await answer.settle();
        answer.discard();
        return this.#refusal.handOn(this.#request, this.#parts.upstream);
      }
      answer.discard();
    }
  }

  /** Whether it begins once more, with nodes that it tried. */
  async #startsOver({ stale, mayRetry, mayComeBack, discard }: Failed): Promise<boolean> {
    const isLost = mayRetry && mayComeBack && this.#refusal === null;
    if (stale === null && !isLost) return false;
    // The place that it holds may be the only one; and it was their pair that failed, if it was stale.
    discard();
    this.#refused = null;
    if (stale === null) return true;
    const since = await stale();
    return since !== "works" && this.#retries.afterDoubt(false, since === "anew");
  }

  /** What its client gets instead of an error. */
  readonly #orRefusal = (error: unknown): Reply => {
    if (this.#refusal === null || this.#signal.aborted) throw error;
    return this.#refusal.handOn(this.#request, this.#parts.upstream);
  };

  /** The first step; its node is in flight until its answer has been read. */
  async #prefill(lease: Lease, body: Uint8Array): Promise<Reply | Prefilled | Failed> {
    const attempt = this.#begin(lease);
    if (this.#signal.aborted) {
      attempt.stopWith(this.#signal);
      return givenUp(this.#signal);
    }
    const headers = new Headers(this.#request.headers);
    // Its answer is read here.
    headers.set("accept-encoding", "identity");
    const request = { ...this.#request, headers, body };
    const isUnread = (status: number) =>
      isRetriable(status) || this.#route.mayAskPeer(status, lease);
    const result = await prefill(attempt, request, this.#parts.upstream, this.#parts, isUnread);
    if (result.kind === "prefilled") return result;
    if (result.kind === "relayed") {
      this.#endWithClient(attempt);
      return result.reply;
    }
    this.#route.triedPrefill.add(lease.node);
    if (result.kind === "unusable") {
      if (result.leaks) this.#route.namedOnly = true;
      const mayRetry = !lease.lastResort && this.#retries.afterStatus(502);
      return failedWith(mayRetry, () => Promise.reject(result.error));
    }
    return this.#failed(attempt, result, await mayTryAgain(attempt, result, this.#trying));
  }

  /** The second step. The session has ended, or ends with the answer, whatever comes of it. */
  async #decode(place: Admitted<Lease | null>, prefilled: Prefilled): Promise<Reply | Failed> {
    const { session } = prefilled;
    let failed: Failed | null = null;
    if (this.#refusal?.role === "Prefill") this.#refusal = null;
    try {
      for (;;) {
        this.#signal.throwIfAborted();
        const lease = await this.#route.decode(session);
        if (session.isLost) {
          session.handedOver();
          failed?.discard();
          return failedFor(this.#retries.afterFailure("refused"), () => lostBlocks(session.node));
        }
        if (!(lease instanceof Lease)) {
          session.free();
          return failed ?? this.#noDecodeNode();
        }
        failed?.discard();
        place.hold(lease);
        const answer = await this.#decodeOn(lease, prefilled);
        if (answer instanceof Reply) return answer;
        failed = answer;
        if (failed === null) continue;
        // Lost with its decode engine, too, it may have been decoded: that says all there is to say of another try.
        if (session.isLost && (failed.keepsBlocks || !failed.mayComeBack)) continue;
        if (!failed.keepsBlocks || !failed.mayRetry) {
          session.free();
          return failed;
        }
      }
    } catch (error) {
      session.free();
      failed?.discard();
      throw error;
    }
  }

  /** Null where it failed since its prefill engine is gone. */
  async #decodeOn(lease: Lease, prefilled: Prefilled): Promise<Reply | Failed | null> {
    const { upstream, sessions, pairs, transport } = this.#parts;
    const { session, tokenId, blockIds } = prefilled;
    const { node: prefillNode } = session;
    const migration = { prefillId: prefillNode.url, session: session.number, tokenId, blockIds };
    const body = decodeBody(this.#request.body, this.#head, migrationJson(migration, transport));
    // A connection that is lost may have brought the blocks over already: their room is another request's by then.
    const request = { ...this.#request, body, isForOnce: true };
    const attempt = this.#begin(lease);
    this.#endWithClient(attempt);
    session.decodingOn = lease.node;
    const isUnread = (status: number) =>
      isElsewhere(status) || this.#route.mayAskPeer(status, lease);
    const result = await send(attempt, request, upstream, isUnread);
    session.fetched();
    if (result.kind === "relayed") {
      this.#refusal = null;
      if (result.reply.ok) pairs.trust(prefillNode, lease.node, lease.startedAtMs);
      sessions.follow(session, lease);
      return result.reply;
    }
    // It may be the prefill engine that is gone: then this is no word on the request, nor on the decode engine.
    if (isBroken(result)) await this.#parts.stillThere(prefillNode);
    // Refused by a decode engine that its prefill engine does not know any more: never freed,
    // since the number may be another request's by now.
    if (session.isDoubtful && neverTaken(result)) session.isLost = true;
    if (session.isLost && result.kind === "unread" && isSuspicious(result)) {
      excuse(attempt, result, this.#parts.upstream);
      return null;
    }
    this.#route.triedDecode.add(lease.node);
    const isMoved = await hasMoved(attempt, result, this.#route.wantedOf("Decode"), upstream);
    const isDoubted = isSuspicious(result) && !lease.modelIsGone;
    const mayBeStale = isDoubted && pairs.doubt(prefillNode, lease.node, lease.startedAtMs);
    if (!neverTaken(result)) {
      session.free();
      return this.#failed(attempt, result, await mayTryAgain(attempt, result, this.#trying));
    }
    const mayRetry =
      result.kind === "unread"
        ? !lease.lastResort && (isMoved || this.#retries.afterStatus(ELSEWHERE))
        : this.#retries.afterFailure("refused");
    // One whose refusal is not kept would have nothing to get in the end.
    const isKept = mayBeStale && !lease.lastResort && Refusal.of(attempt, result) !== null;
    const signals = [this.#signal, this.#parts.closing];
    const known = () =>
      untilKnown(prefillNode, lease, { ...this.#parts, route: this.#route, signals });
    const stale = isKept && this.#retries.mayFollowDoubt ? known : null;
    return { ...this.#failed(attempt, result, mayRetry), keepsBlocks: true, stale };
  }

  #begin(lease: Lease): Attempt {
    const attempt = new Attempt(lease, this.#startedAtMs);
    this.#request.exchange.attempt(lease);
    if (this.#refused?.node.role === lease.node.role) {
      this.#parts.registry.learning.secondOpinions.asks(lease, this.#refused);
      this.#refused = null;
    }
    // What its client has left has nothing to go on to: its node need not hold it.
    attempt.mayMove = () =>
      this.#signal.aborted ||
      this.#refusal !== null ||
      (this.#retries.maySendAgain && this.#route.hasAnother(lease.node.role));
    return attempt;
  }

  #endWithClient(attempt: Attempt): void {
    this.#current.attempt = attempt;
    if (this.#signal.aborted) attempt.stopWith(this.#signal);
  }

  #failed(attempt: Attempt, result: Result, mayRetry: boolean): Failed {
    const { lease } = attempt;
    if (isRefused(result)) this.#refused = lease;
    this.#route.wantedOf(lease.node.role).hasAnswer = result.kind === "unread";
    return {
      saysLess: this.#refusal?.betters(result) === true,
      mayRetry,
      isRefused: isRefused(result) && !lease.modelIsGone,
      keepsBlocks: false,
      mayComeBack: isGone(result),
      stale: null,
      settle: () => {
        this.#endWithClient(attempt);
        return settle(attempt, result, this.#request, this.#parts.upstream);
      },
      discard: () => {
        this.#refusal ??= Refusal.of(attempt, result);
        if (result.kind === "unread") discard(attempt, result, this.#parts.upstream);
      },
    };
  }

  /** Between the steps the last decode node that could be paired went away. */
  #noDecodeNode(): Failed {
    const { retry } = this.#parts.upstream.retryRules;
    const mayRetry = this.#retries.afterFailure("refused") || (retry && this.#route.hasTime);
    return failedFor(mayRetry, () => this.#route.refusal);
  }
}
