import type { Clock } from "../core/clock.ts";
import { ProxyError } from "../core/errors.ts";
import { isRetriable } from "../core/retry.ts";
import { usageOf } from "../core/usage.ts";
import { answered, isShort, knownLength, readAnswer, readRefusal } from "../upstream/answer.ts";
import type { Attempt, Unanswered } from "../upstream/attempt.ts";
import { forward } from "../upstream/forward.ts";
import { handOn } from "../upstream/relay.ts";
import { type InferenceRequest, isCancelled } from "../upstream/request.ts";
import { discard, type Result, type Upstream } from "../upstream/send.ts";
import { readPrefillAnswer } from "./answers.ts";
import { endpointOf, muteReleases, type SessionNames } from "./session-names.ts";
import type { Session, SessionLedger } from "./sessions.ts";

/** Blocks that wait for a decode node. */
export interface Prefilled {
  readonly kind: "prefilled";
  readonly session: Session;
  readonly tokenId: number;
  readonly blockIds: readonly number[];
}

/** What a prefill came to: that, or a result like any other attempt's. */
export type PrefillResult =
  | Prefilled
  /** The engine answered, but not with what a decode node needs; `leaks`: nobody can free what it keeps. */
  | { readonly kind: "unusable"; readonly leaks: boolean; readonly error: ProxyError }
  | Result;

/** What prefills' answers tell. */
export interface Learnt {
  readonly sessions: SessionLedger;
  readonly names: SessionNames;
}

/** What it takes to send one. */
type Sending = Clock & Pick<Upstream, "fetch" | "retryRules">;

/** Block ids take 7 bytes each: this is room for more tokens than any context has. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
/** An answer nobody waits for any more is waited for this long all the same: it names a session. */
const LINGER_MS = 60_000;
/** After its client has left, a long prompt is given longer: half a million tokens may take ten minutes. */
const LINGER_MS_PER_BYTE = 0.3;
const LONGEST_LINGER_MS = 600_000;

/**
 * Sends a prefill request and reads its answer whole.
 *
 * The engine keeps the blocks of a prefill under a number that only its answer tells. So the request
 * is not cancelled with its client: when its time is over, it is cancelled by an
 * administrator or its node is ejected, the result comes at once, but the answer is still read if there is one, and its session freed. An engine that hangs must
 * not hold what clients have left behind: some time after its client a prefill is broken off.
 * @param request With the prefill's body.
 * @param isUnread Which failures are left unread for now, since another node may do better.
 */
export async function prefill(
  attempt: Attempt,
  request: InferenceRequest,
  upstream: Sending,
  learnt: Learnt,
  isUnread: (status: number) => boolean = isRetriable,
): Promise<PrefillResult> {
  const wire = new AbortController();
  const answering = sendAndRead(attempt, request, upstream, learnt, isUnread, wire);
  const { promise: stopped, resolve } = Promise.withResolvers<null>();
  attempt.signal.addEventListener("abort", () => resolve(null), { once: true });
  if (attempt.signal.aborted) resolve(null);
  const stopWatching = whenLeft(request, upstream, () => attempt.stopWith(request.exchange.signal));
  const result = await Promise.race([answering, stopped]);
  stopWatching();
  if (result !== null) return result;
  let cancel = () => {};
  if (attempt.stopped === "client_gone") wire.abort();
  else cancel = upstream.after(LINGER_MS, () => wire.abort());
  learnt.sessions.expect(
    answering.then((late) => {
      cancel();
      release(attempt, late, upstream);
    }),
  );
  return attempt.failed(new Error("stopped"));
}

/** Calls `giveUp` when the client has left so long ago that no answer comes any more; the function returned ends that. */
function whenLeft({ exchange, body }: InferenceRequest, { after }: Clock, giveUp: () => void) {
  const { signal } = exchange;
  const lingerMs = Math.min(LINGER_MS + body.length * LINGER_MS_PER_BYTE, LONGEST_LINGER_MS);
  let cancel = () => {};
  const onLeft = () => {
    if (isCancelled(signal)) giveUp();
    else cancel = after(lingerMs, giveUp);
  };
  if (signal.aborted) onLeft();
  else signal.on(onLeft);
  return () => {
    signal.off(onLeft);
    cancel();
  };
}

/** Never rejects. */
async function sendAndRead(
  attempt: Attempt,
  request: InferenceRequest,
  upstream: Sending,
  learnt: Learnt,
  isUnread: (status: number) => boolean,
  wire: AbortController,
): Promise<PrefillResult> {
  const answer = await forward(attempt, request, upstream, wire.signal);
  if ("kind" in answer) return answer;
  // It names no session: nothing is lost when its connection ends with the attempt.
  if (!answer.ok) endWith(attempt, wire);
  const { status } = answer;
  if (isUnread(status)) {
    const kept = await readRefusal(attempt, answer, request.target, upstream);
    return kept !== null && "kind" in kept
      ? kept
      : { kind: "unread", answer, status, judged: kept };
  }
  if (answer.ok) {
    return await readSession(attempt, answer, request.target, upstream, learnt);
  }
  const judged = await readAnswer(attempt, answer, request.target, upstream);
  if ("kind" in judged) return judged;
  return { kind: "relayed", reply: handOn(attempt, judged, request, upstream) };
}

function endWith({ signal }: Attempt, wire: AbortController): void {
  if (signal.aborted) wire.abort();
  signal.addEventListener("abort", () => wire.abort(), { once: true });
}

async function readSession(
  attempt: Attempt,
  answer: Response,
  target: string,
  upstream: Sending,
  { sessions, names }: Learnt,
): Promise<PrefillResult> {
  const { node, generation } = attempt.lease;
  const endpoint = endpointOf(target);
  const body = await readWhole(attempt, answer, upstream.now);
  if (!(body instanceof Uint8Array)) return body;
  const read = readPrefillAnswer(body);
  if (read.kind !== "unusable") {
    names.learn(node, generation, endpoint, read.kind === "prefilled");
  }
  const usage = usageOf("json", target, body, body);
  // Before the lease ends: a node with neither is taken for one that has nothing to do any more.
  const session = read.session === null ? null : sessions.open(node, read.session);
  attempt.lease.end(answered(answer, upstream, answer.status, usage));
  if (read.kind === "prefilled" && session !== null) {
    const { tokenId, blockIds } = read;
    return { kind: "prefilled", session, tokenId, blockIds };
  }
  session?.free();
  const reason = read.kind === "prefilled" ? "its answer names no session" : read.reason;
  const leaks = read.kind === "unnamed";
  const advice = leaks ? `; nor do ${muteReleases(endpoint)}` : "";
  return {
    kind: "unusable",
    leaks,
    error: unusable(`${node.url} cannot hand its prefill over: ${reason}${advice}`),
  };
}

async function readWhole(
  attempt: Attempt,
  answer: Response,
  now: () => number,
): Promise<Uint8Array | Unanswered> {
  if (answer.body === null) return new Uint8Array(0);
  const pieces: Uint8Array[] = [];
  let sizeBytes = 0;
  try {
    const length = knownLength(answer.headers);
    attempt.begun = length !== null;
    if (isShort(length)) {
      const body = await answer.bytes();
      attempt.received(now());
      return body;
    }
    for await (const piece of answer.body) {
      attempt.received(now());
      pieces.push(piece);
      sizeBytes += piece.length;
      if (sizeBytes > MAX_ANSWER_BYTES) {
        throw new Error(`the answer is longer than ${MAX_ANSWER_BYTES} bytes`);
      }
    }
    return Buffer.concat(pieces, sizeBytes);
  } catch (error) {
    return attempt.failed(error);
  }
}

function unusable(message: string): ProxyError {
  return new ProxyError("upstream_error", `${message}.`);
}

/** Gives back what came too late. */
function release(attempt: Attempt, late: PrefillResult, upstream: Sending): void {
  if (late.kind === "prefilled") late.session.free();
  else if (late.kind === "unread") discard(attempt, late, upstream);
}
