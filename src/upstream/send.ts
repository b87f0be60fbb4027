import type { Admission } from "../core/admission/admission.ts";
import { shuttingDown } from "../core/admission/refusals.ts";
import type { Clock } from "../core/clock.ts";
import type { Role } from "../core/engine/roles.ts";
import { cancelled, ProxyError } from "../core/errors.ts";
import type { FailingNodes } from "../core/pool/failing-nodes.ts";
import type { Lease } from "../core/pool/lease.ts";
import type { Node } from "../core/pool/node.ts";
import type { Registry } from "../core/pool/registry.ts";
import { EMPTY, isRefusal } from "../core/pool/statuses.ts";
import { failureType } from "../core/proxy-status.ts";
import type { RetryBudgets } from "../core/retry.ts";
import { isRetriable, type RetryRules, type RetryState } from "../core/retry.ts";
import { answered, type Judged, readAnswer, readRefusal } from "./answer.ts";
import type { Attempt, Unanswered } from "./attempt.ts";
import type { Deadlines } from "./deadlines.ts";
import { type Fetch, forward } from "./forward.ts";
import { handOn } from "./relay.ts";
import { clientGone, type Reply } from "./reply.ts";
import type { InferenceRequest } from "./request.ts";
import { isWishedEnd } from "./wished-end.ts";

/** Of the prompt's making, or of an engine's that is about to end. */
export const INTERNAL_ERROR = 500;

/** What sending a request needs; made once, shared by both serving strategies. */
export interface Upstream extends Clock {
  readonly registry: Registry;
  readonly admission: Admission;
  readonly deadlines: Deadlines;
  readonly budgets: RetryBudgets;
  readonly retryRules: RetryRules;
  readonly fetch: Fetch;
  /** Which nodes have failed several requests at one moment. */
  readonly failing: FailingNodes;
  /** Whether a node's health check says that it is well, asked now; true where it says nothing in time. */
  readonly isWell: (node: Node) => Promise<boolean>;
  /** Whether a node serves a model that it has just answered with 404; soon known. */
  readonly stillServes: (node: Node, model: string) => Promise<boolean>;
  /** Resolves once some node of a role is known to serve a model, or soon, when none says so. */
  readonly find: (model: string, role: Role) => Promise<void>;
}

/** An answer that another node may better: nothing of it has been handed on. */
export interface Unread {
  readonly kind: "unread";
  readonly answer: Response;
  /** HTTP status that it amounts to. */
  readonly status: number;
  /** Null while nothing but its head has been looked at. */
  readonly judged: Judged | null;
}

/** One attempt's result: handed on to the client, an answer that another node may better, or none. */
export type Result = { readonly kind: "relayed"; readonly reply: Reply } | Unread | Unanswered;

/**
 * Sends a request to its attempt's node and hands the answer on.
 * @param isUnread Which answers are left unread for now, since another node may do better.
 */
export async function send(
  attempt: Attempt,
  request: InferenceRequest,
  upstream: Upstream,
  isUnread: (status: number) => boolean = isRetriable,
): Promise<Result> {
  const answer = await forward(attempt, request, upstream);
  if ("kind" in answer) return answer;
  const { status } = answer;
  if (isUnread(status)) {
    const kept = await readRefusal(attempt, answer, request.target, upstream);
    if (kept !== null && "kind" in kept) return kept;
    return unread(attempt, { answer, status, judged: kept }, upstream);
  }
  const judged = await readAnswer(attempt, answer, request.target, upstream);
  if ("kind" in judged) return judged;
  let relayed = judged;
  if (judged.status !== status && isUnread(judged.status)) {
    if (!(await isWishedEnd(attempt.lease, judged, upstream.isWell))) {
      return unread(attempt, { answer, status: judged.status, judged }, upstream);
    }
    relayed = { ...judged, status };
  }
  return { kind: "relayed", reply: handOn(attempt, relayed, request, upstream) };
}

function unread({ lease }: Attempt, found: Omit<Unread, "kind">, { failing }: Upstream): Unread {
  if (found.status === INTERNAL_ERROR) failing.failed(lease.node);
  return { kind: "unread", ...found };
}

/** Gives up an answer that nobody will read, for another node's. Never rejects. */
export function discard(attempt: Attempt, { answer, status, judged }: Unread, clock: Clock): void {
  attempt.lease.end(answered(answer, clock, status));
  const ended = judged === null ? answer.body?.cancel() : judged.rest?.cancel();
  // The body may be broken already; it is of no more interest.
  ended?.catch(() => {});
}

/** Whether the request may have another attempt after `result`. */
export function worthRetrying(
  attempt: Attempt,
  result: Result,
  retries: RetryState,
  { now }: Pick<Clock, "now">,
): boolean {
  // That limit is the whole request's.
  if (attempt.stopped === "total_timeout") return false;
  switch (result.kind) {
    case "relayed":
      return false;
    case "unread":
      return isDoubt(result.status)
        ? retries.afterDoubt(result.status === EMPTY, isOverruled(attempt.lease, now()))
        : retries.afterStatus(result.status);
    case "stopped":
      // The node went out under a request it had: as good as a lost connection.
      return (
        result.why === "node_ejected" && !isOnlyLate(attempt.lease) && retries.afterFailure("lost")
      );
    default:
      return retries.afterFailure(result.kind, tookOut(attempt.lease));
  }
}

/** Whether its node was found dead, by its probes or under the request itself: there is nothing to wait for. */
export function isFoundDead({ stopped }: Attempt, { kind }: Result): boolean {
  return stopped === "node_ejected" || kind === "lost" || kind === "refused";
}

/** Whether it was taken back since its client has a refusal to get: its node may be at work, and no other is to begin anew. */
function isOnlyLate({ refusedBy, node }: Lease): boolean {
  return refusedBy !== null && node.health.state === "healthy";
}

/** Whether the node is known to refuse what its peers answer. */
function isOverruled({ node }: Lease, nowMs: number): boolean {
  return node.conduct.refusals.isOverruled(nowMs);
}

/** Whether it is left unread only where its node is in doubt. */
function isDoubt(status: number): boolean {
  return isRefusal(status) && !isRetriable(status);
}

/** Whether its node refused the request, or answered it with nothing. */
export function isRefused(result: Result): result is Unread {
  return result.kind === "unread" && isRefusal(result.status);
}

/**
 * Whether the node went out for the failure of this lease, or was out and is back: under load an engine may have been
 * replaced, and found well, before its predecessor's connections are seen to have gone.
 */
function tookOut({ trial, node, generation }: Lease): boolean {
  return !trial && (node.health.state !== "healthy" || generation !== node.generation);
}

/** No further attempt: the client gets what there is. */
export async function settle(
  attempt: Attempt,
  result: Result,
  request: InferenceRequest,
  upstream: Upstream,
): Promise<Reply> {
  if (result.kind === "relayed") return result.reply;
  if (result.kind !== "unread") return giveUp(result);
  const judged =
    result.judged ?? (await readAnswer(attempt, result.answer, request.target, upstream));
  return "kind" in judged ? giveUp(judged) : handOn(attempt, judged, request, upstream);
}

/** What the client gets when no attempt is left. */
function giveUp(result: Unanswered): Reply {
  if (result.kind === "timeout") {
    throw new ProxyError("upstream_timeout", `The engine took too long: ${result.detail}.`);
  }
  if (result.kind !== "stopped" || result.why === "node_ejected") {
    const { kind, detail } =
      result.kind === "stopped"
        ? ({ kind: "lost", detail: "the engine stopped answering" } as const)
        : result;
    throw new ProxyError(
      "upstream_error",
      `The engine did not answer (${detail}), and no other could take the request; try again.`,
      { proxyErrorType: failureType(kind) },
    );
  }
  if (result.why === "shutdown") {
    throw shuttingDown();
  }
  if (result.why === "cancelled") throw cancelled();
  return clientGone();
}
