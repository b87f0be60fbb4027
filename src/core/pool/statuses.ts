/** What the status of an engine's answer says of the engine. */
import type { Doubt } from "./trials.ts";

/** 5xx that speaks of a broken engine; 501 and 505 speak of the request, 503 of a busy or sleeping one. */
export function isBadAnswer(status: number): boolean {
  return status >= 500 && status !== 501 && status !== 503 && status !== 505;
}

/** What a node has to answer to come back, by what it is out for. */
export function passesTrial(status: number, doubt: Doubt = "answers"): boolean {
  return doubt === "refused" ? isGood(status) : status < 500 && status !== 429;
}

/**
 * What a good answer amounts to that holds nothing, also where it says so (204), or a part (206), to a call that gives
 * something, or a page for browsers. No engine sends this status.
 */
export const EMPTY = 299;
/** Of moments, and of clients that are slow or have left: they say nothing of what an engine, or a server in front of it, takes. */
const OF_THE_MOMENT: ReadonlySet<number> = new Set([408, 409, 425, 429, 499]);

/** Statuses by which an engine refuses a request, leads it elsewhere, or gives nothing for it, that its peers may well answer. */
export function isRefusal(status: number): boolean {
  return status === EMPTY || (status >= 300 && status < 500 && !OF_THE_MOMENT.has(status));
}

/** An answer that holds something. */
export function isGood(status: number): boolean {
  return status >= 200 && status < 300 && status !== EMPTY;
}

const LONGEST_PASS_OVER_MS = 10_000;
/** Also for a `Retry-After` of 0: retries on busy nodes are free, and would go on at every one of them. */
const LEAST_PASS_OVER_MS = 1_000;

/** For how long a node that asked for `retryAfterMs` is passed over, ms. */
export function passOverMs(retryAfterMs: number): number {
  return Math.min(Math.max(retryAfterMs, LEAST_PASS_OVER_MS), LONGEST_PASS_OVER_MS);
}
