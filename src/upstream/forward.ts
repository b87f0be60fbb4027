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
    attempt.connected = true;
    return answer;
  } catch (error) {
    return attempt.failed(error);
  }
}
