/** What the status of an engine's answer says of the engine. */
import type { Doubt } from "./trials.ts";

/** 5xx that speaks of a broken engine; 501 and 505 speak of the request, 503 of a busy or sleeping one. */
export function isBadAnswer(status: number): boolean {
  return status >= 500 && status !== 501 && status !== 503 && status !== 505;
}

/** What a node has to answer to come back, by what it is out for. */
export function passesTrial(status: number, doubt: Doubt = "answers"): boolean {
  return doubt === "refused" ? status >= 200 && status < 300 : status < 500 && status !== 429;
}

/** Statuses by which an engine refuses a request that its peers may well answer. */
export function isRefusal(status: number): boolean {
  return status === 400 || status === 401 || status === 403 || status === 404;
}

const LONGEST_PASS_OVER_MS = 10_000;
/** Also for a `Retry-After` of 0: retries on busy nodes are free, and would go on at every one of them. */
const LEAST_PASS_OVER_MS = 1_000;

/** For how long a node that asked for `retryAfterMs` is passed over, ms. */
export function passOverMs(retryAfterMs: number): number {
  return Math.min(Math.max(retryAfterMs, LEAST_PASS_OVER_MS), LONGEST_PASS_OVER_MS);
}
