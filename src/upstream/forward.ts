import type { Clock } from "../core/clock.ts";
import { retryAfterMs } from "../core/headers.ts";
import type { Attempt, Unanswered } from "./attempt.ts";
import type { InferenceRequest } from "./request.ts";

/** fetch, as handed in: the network is the caller's. */
export type Fetch = (url: string, init: BunFetchRequestInit) => Promise<Response>;

/**
 * Sends the request to the attempt's node; resolves when the head of the answer is there. Never
 * rejects.
 * @param signal What ends the connection: that the attempt is over, unless something else has to.
 */
export async function forward(
  attempt: Attempt,
  request: InferenceRequest,
  fetch: Fetch,
  signal: AbortSignal = attempt.signal,
): Promise<Response | Unanswered> {
  try {
    const answer = await fetch(attempt.lease.node.url + request.target, {
      method: "POST",
      headers: request.headers,
      body: request.body,
      signal,
      // The answer passes as it is: not unpacked, not followed, and without a hidden time limit.
      decompress: false,
      redirect: "manual",
      timeout: false,
    });
    // What no answer can say cannot be handed on either.
    if (answer.status < 200 || answer.status > 599) {
      answer.body?.cancel().catch(() => {});
      return attempt.failed(new Error(`no answer has the status ${answer.status}`));
    }
    attempt.lease.answering(answer.status);
    return answer;
  } catch (error) {
    return attempt.failed(error);
  }
}

/** Gives up an answer whose body nobody will read, for another node's. Never rejects. */
export function discard(attempt: Attempt, answer: Response, clock: Clock): void {
  attempt.lease.end(answered(answer, clock));
  // The body may be broken already; it is of no more interest.
  answer.body?.cancel().catch(() => {});
}

/** The outcome of an attempt whose answer was read to its end. */
export function answered(
  answer: Response,
  clock: Clock,
): {
  kind: "answered";
  status: number;
  retryAfterMs: number | null;
} {
  return {
    kind: "answered",
    status: answer.status,
    retryAfterMs: answer.status < 400 ? null : retryAfterMs(answer.headers, clock.wallMs()),
  };
}
