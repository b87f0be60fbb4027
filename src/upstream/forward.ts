import { neverSent } from "../core/failure.ts";
import type { RetryRules } from "../core/retry.ts";
import { type Attempt, classify, type Unanswered } from "./attempt.ts";
import type { InferenceRequest } from "./request.ts";

/** fetch, as handed in: the network is the caller's. */
export type Fetch = (url: string, init: BunFetchRequestInit) => Promise<Response>;

/**
 * Servers close connections that stay idle, uvicorn (under most engines) after 5 s. A request that
 * is sent in that moment is lost. So no connection is used that has been idle for longer, ms.
 */
export const LONGEST_IDLE_MS = 3_000;

/** Of `Transfer-Encoding`: what leaves the bytes as they are. */
const UNCODED: ReadonlySet<string> = new Set(["", "chunked", "identity"]);

/** What sending takes. */
export interface Wire {
  readonly fetch: Fetch;
  /** Monotonic clock, ms. */
  readonly now: () => number;
  readonly retryRules: RetryRules;
}

/** A connection that its engine had closed is found so at once; what comes later says something of the engine, ms. */
const STALE_MS = 1_000;

/**
 * Sends the request to the attempt's node; resolves when the head of the answer is there. Never
 * rejects.
 * @param signal What ends the connection: that the attempt is over, unless something else has to.
 */
export async function forward(
  attempt: Attempt,
  request: InferenceRequest,
  wire: Wire,
  signal: AbortSignal = attempt.signal,
): Promise<Response | Unanswered> {
  request.exchange.trace?.inject(request.headers);
  const url = attempt.lease.node.url + request.target;
  const init: BunFetchRequestInit = {
    method: request.method,
    headers: request.headers,
    body: request.method === "POST" ? request.body : null,
    signal,
    // The answer passes as it is: not unpacked, not followed, and without a hidden time limit.
    decompress: false,
    redirect: "manual",
    timeout: false,
  };
  try {
    return headCame(attempt, await wire.fetch(url, init));
  } catch (error) {
    return request.isForOnce !== true && wasStale(attempt, error, wire)
      ? await overFresh(attempt, error, wire, url, init)
      : attempt.failed(error);
  }
}

function headCame(attempt: Attempt, answer: Response): Response | Unanswered {
  // What no answer can say cannot be handed on either.
  if (answer.status < 200 || answer.status > 599) {
    answer.body?.cancel().catch(() => {});
    return attempt.failed(new Error(`no answer has the status ${answer.status}`));
  }
  const coding = answer.headers.get("transfer-encoding");
  if (coding !== null && isCoded(coding)) {
    answer.body?.cancel().catch(() => {});
    return attempt.failed(new Error(`nobody asked for the transfer coding ${coding}`));
  }
  attempt.connected = true;
  return answer;
}

/**
 * Whether more than chunks has to be taken off. Such codings are between two ends of a connection (RFC 9112, 7);
 * fetch leaves them on (Bun 1.4.5), and without the header nobody behind us could tell.
 */
function isCoded(transferEncoding: string): boolean {
  const codings = transferEncoding.split(",").map((coding) => coding.trim().toLowerCase());
  return codings.some((coding) => !UNCODED.has(coding));
}

/**
 * Whether a connection was lost that had been used before. Engines close those without announcing it,
 * uvicorn behind every unhandled error: a reset then says nothing of the engine. fetch does not tell
 * which it used: it may have been a used one if the node has answered since the oldest that is kept.
 */
function wasStale(
  { lease, signal }: Attempt,
  error: unknown,
  { now, retryRules: { retry, retrySent } }: Wire,
): boolean {
  const nowMs = now();
  return (
    retry &&
    retrySent &&
    !lease.lastResort &&
    !signal.aborted &&
    nowMs - lease.startedAtMs <= STALE_MS &&
    nowMs - lease.node.answeredAtMs <= LONGEST_IDLE_MS &&
    classify(error).kind === "lost"
  );
}

/** Sends once more, over a connection of its own, what was lost with `error` on one that was used before. */
async function overFresh(
  attempt: Attempt,
  error: unknown,
  wire: Wire,
  url: string,
  init: BunFetchRequestInit,
): Promise<Response | Unanswered> {
  try {
    return headCame(attempt, await wire.fetch(url, { ...init, keepalive: false }));
  } catch (again) {
    // It resets fresh ones as well: that the next request is lost says nothing of its connection.
    attempt.lease.node.answeredAtMs = Number.NEGATIVE_INFINITY;
    // It may have had the request all the same, and have died of it.
    return attempt.failed(neverSent(classify(again).kind) ? error : again);
  }
}
