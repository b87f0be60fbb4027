/** What a decode attempt's result says of the session's blocks, and of who is to blame. */
import { neverSent } from "../core/failure.ts";
import { isBadAnswer } from "../core/pool/statuses.ts";
import { isRetriable } from "../core/retry.ts";
import type { Result } from "../upstream/send.ts";

/** The status that stands for "another node may do better, and this one has done nothing". */
export const ELSEWHERE = 503;

/** What the decode node refuses, another may take. */
export function isElsewhere(status: number): boolean {
  return isRetriable(status) || isRefusal(status);
}

function isRefusal(status: number): boolean {
  return status === 503 || (status >= 400 && status < 500);
}

/**
 * Whether the decode engine cannot have begun to fetch the blocks. In every other case they must not
 * be offered to a second one: the first fetches them without asking, and then they are freed.
 */
export function neverTaken(result: Result): boolean {
  // What fails under a good head had been taken on.
  if (result.kind === "unread") return isRefusal(result.answer.status);
  return "detail" in result && neverSent(result.kind);
}

export function isBroken(result: Result): boolean {
  return result.kind === "unread" && isBadAnswer(result.status);
}

/** Whether it failed as it would if the two engines did not know each other any more. */
export function isSuspicious(result: Result): boolean {
  if (result.kind === "unread") return ![429, 503].includes(result.status);
  return result.kind === "timeout";
}

/** Whether the engine was lost under the request, or was not there: it may be coming back. */
export function isGone(result: Result): boolean {
  return result.kind === "lost" || result.kind === "refused";
}
