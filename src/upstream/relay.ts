import { JsonBrackets } from "../core/body/json-brackets.ts";
import type { Clock } from "../core/clock.ts";
import { Ending } from "../core/ending.ts";
import { ProxyError } from "../core/errors.ts";
import { CANCELLED, CLIENT_GONE, COMPLETE, type End, SHUTDOWN } from "../core/exchange.ts";
import { answerHeaders } from "../core/headers.ts";
import type { KeptRequest } from "../core/pool/kept-request.ts";
import type { Answered } from "../core/pool/lease.ts";
import { failureAtEnd } from "../core/sse-opening.ts";
import { finalErrorEvent, isEventEnd, isNumbered, SequenceNumbers } from "../core/sse-tail.ts";
import { type AnswerForm, OPENING_BYTES, usageOf } from "../core/usage.ts";
import {
  answered,
  CUT,
  endsWithConnection,
  isCut,
  isOver,
  type Judged,
  type PieceReader,
} from "./answer.ts";
import type { Attempt, Unanswered } from "./attempt.ts";
import { type PieceByPiece, Reply } from "./reply.ts";
import type { InferenceRequest } from "./request.ts";
import { areFew, fewWouldTell, saidTokens } from "./said-tokens.ts";

/** How long a client that does not read may hold up the break of its connection, ms. */
const BREAK_DRAIN_MS = 1_000;
/**
 * Between the last bytes and the break, ms. A break resets the connection: that discards what the
 * kernel has not sent yet and, on some clients' systems, what has arrived and not been read.
 */
const BREAK_DELAY_MS = 100;

/** The engine itself reported a failure in its answer, which the client gets as it is. */
const SAID_FAILURE: End = { how: "broken", error: "upstream_error" };

/**
 * Hands an answer on to the client: the same bytes, each piece as it arrives. The attempt's lease
 * ends with the answer's last byte.
 */
export function handOn(
  attempt: Attempt,
  judged: Judged,
  request: InferenceRequest,
  clock: Clock,
): Reply {
  const { answer, form, pieces, rest } = judged;
  const { lease } = attempt;
  const { exchange } = request;
  const mayBeCut = answer.ok && endsWithConnection(answer.headers);
  const headers = answerHeaders(answer, exchange.id, lease.node.url);
  exchange.head(answer.status, lease);
  const keeping = answer.ok ? request.kept : null;
  keeping?.answeredBy(lease.node);
  const failure = answer.ok && judged.status >= 400 ? judged.status : null;
  if (rest === null) {
    const body = joined(pieces);
    const tells = form !== null && body !== null && took(answer, request);
    const usage = tells ? usageOf(form, request.target, body, body) : null;
    exchange.usage = usage;
    const tokens = tells ? saidTokens(form, usage, body.length) : null;
    const said = areFew(tokens) && !fewWouldTell(request) ? null : tokens;
    lease.end(answered(answer, clock, judged.status, usage, said));
    if (body !== null) {
      exchange.piece(body.length, lease.firstByteAtMs ?? clock.now());
      keeping?.piece(lease.node, body);
    }
    return new Reply(answer.status, headers, body, failure === null ? COMPLETE : SAID_FAILURE);
  }
  lease.answering(judged.status);
  // Not the answer itself, whose head would be kept for as long as its stream.
  const outcome = answered(answer, clock, judged.status);
  const tells = took(answer, request) ? form : null;
  const relaying = { attempt, outcome, tells, clock, form, request, keeping, failure, mayBeCut };
  return new Reply(answer.status, headers, pieceByPiece(joined(pieces), rest, relaying));
}

/** Whether the answer took tokens: what is looked up took them before. */
function took(answer: Response, { asked }: InferenceRequest): boolean {
  return answer.ok && asked.kept !== "lookup";
}

/** Null when there is nothing. */
function joined(pieces: readonly Uint8Array[]): Uint8Array | null {
  const [first = null] = pieces;
  const body = pieces.length > 1 ? Buffer.concat(pieces) : first;
  return body?.length === 0 ? null : body;
}

interface Relaying {
  readonly attempt: Attempt;
  /** As far as it is known before the end. */
  readonly outcome: Answered;
  /** How it is written, if it may say how many tokens it took; else null. */
  readonly tells: AnswerForm | null;
  readonly clock: Clock;
  /** Null when nothing can be read of it. */
  readonly form: AnswerForm | null;
  readonly request: InferenceRequest;
  /** Null when its bytes are of no interest. */
  readonly keeping: KeptRequest | null;
  /** The status of a failure that its first event has reported, or null. */
  readonly failure: number | null;
  /** Nothing but what came tells whether that was all. */
  readonly mayBeCut: boolean;
}

/**
 * For a direct stream: in Bun 1.4.5 the cheapest body that still sees each piece and the end, and
 * breaks when told to. `write` sends at once, and gives a promise only when the client's socket is
 * full: nothing more is read from the engine until that resolves.
 */
function pieceByPiece(
  first: Uint8Array | null,
  reader: PieceReader,
  relaying: Relaying,
): PieceByPiece {
  const { attempt, outcome, tells, clock, form, request, keeping, mayBeCut } = relaying;
  const { exchange, target } = request;
  const isEvents = form === "events";
  const kept = form !== null || mayBeCut ? new Ending(isEvents) : null;
  const brackets = mayBeCut && form === "json" ? new JsonBrackets() : null;
  const numbers = isEvents && isNumbered(target) ? new SequenceNumbers() : null;
  const opening = first?.slice(0, OPENING_BYTES) ?? NOTHING;
  const isTelling = form !== null && fewWouldTell(request);
  let piece = first;
  let isWhole = false;
  let isDone = false;
  const finish = () => {
    const lastEvents = kept?.events ?? NOTHING;
    const failure = relaying.failure ?? (isEvents ? failureAtEnd(lastEvents) : null);
    const usage = tells === null ? null : usageOf(tells, target, opening, kept?.bytes ?? NOTHING);
    exchange.usage = usage;
    const tokens = tells === null ? null : saidTokens(tells, usage, exchange.bytesOut);
    const said = areFew(tokens) && !isTelling ? null : tokens;
    const status = failure ?? outcome.status;
    attempt.lease.end({ ...outcome, status, usage, saidTokens: said });
    exchange.end(failure === null ? COMPLETE : SAID_FAILURE);
  };
  if (isEvents) {
    // Its client need not wait until the engine ends the answer as well.
    attempt.finishIfOver = () => {
      isDone = !attempt.clientHoldsUp && isOver(kept?.events ?? NOTHING);
      if (isDone) finish();
      return isDone;
    };
  }
  return {
    async pull(sink) {
      let nowMs = clock.now();
      try {
        while (piece !== null) {
          exchange.piece(piece.length, nowMs);
          numbers?.push(piece);
          kept?.push(piece);
          brackets?.push(piece);
          keeping?.piece(attempt.lease.node, piece);
          const wrote = sink.write(piece);
          // The sink has a copy: a client that does not read should not hold two.
          piece = null;
          if (typeof wrote !== "number") await roomAgain(wrote, attempt, clock);
          const next = await reader.read();
          if (next.done) break;
          nowMs = clock.now();
          attempt.received(nowMs);
          piece = next.value;
        }
        const isOpen = brackets?.areOpen === true;
        if (isOpen || (mayBeCut && isCut(form, target, kept?.events ?? NOTHING))) {
          throw new Error(CUT);
        }
        isWhole = true;
        finish();
        sink.close();
      } catch (error) {
        if (isWhole) {
          // The client has all of it: what goes wrong then is ours, neither its nor the engine's.
          attempt.lease.end(outcome);
          exchange.end(COMPLETE);
          sink.close();
          // Where it is logged as what nobody has caught: a stream would keep it to itself.
          return clock.soon(() => {
            throw error;
          });
        }
        if (isDone) return await breakOff(sink, true, null, clock);
        const unanswered = attempt.failed(error);
        const why = streamBroke(unanswered);
        exchange.end(endOf(unanswered, why));
        const lastEvent =
          isEvents && why !== null && isEventEnd(kept?.bytes ?? NOTHING)
            ? finalErrorEvent(why, target, exchange.id, numbers?.next ?? 0)
            : null;
        await breakOff(sink, why === null, lastEvent, clock);
      }
    },
    cancel() {
      attempt.stop("client_gone");
      exchange.end(CLIENT_GONE);
    },
    giveUp() {
      attempt.stop("client_gone");
      exchange.end({ how: "broken", error: "upstream_error" });
    },
  };
}

const NOTHING = new Uint8Array(0);

/** Resolves when the client's socket takes more, or when the attempt has been stopped. */
async function roomAgain(wrote: Promise<number>, attempt: Attempt, { now }: Clock): Promise<void> {
  const { signal } = attempt;
  if (signal.aborted) return;
  const stopped = Promise.withResolvers<void>();
  const stop = () => stopped.resolve();
  signal.addEventListener("abort", stop, { once: true });
  attempt.clientHoldsUp = true;
  try {
    await Promise.race([wrote, stopped.promise]);
  } finally {
    attempt.clientHoldsUp = false;
    attempt.lease.resumed(now());
    signal.removeEventListener("abort", stop);
  }
}

/**
 * Ends an answer that broke in the middle so that it cannot be taken for a whole one.
 * @param lastEvent Null when none may be written: the stream is not one of events, or not between two.
 */
export async function breakOff(
  sink: ReadableStreamDirectController,
  isClientGone: boolean,
  lastEvent: Uint8Array | null,
  { after }: Clock,
): Promise<void> {
  const pause = (ms: number) => new Promise<void>((resume) => after(ms, resume));
  if (!isClientGone) {
    const wrote = lastEvent === null ? 0 : sink.write(lastEvent);
    if (typeof wrote !== "number") await Promise.race([wrote, pause(BREAK_DRAIN_MS)]);
    // In the same turn Bun 1.4.5 itself would lose it.
    await pause(BREAK_DELAY_MS);
  }
  sink.close(new Error("the answer broke off"));
}

/** What a client is told whose stream broke off; null for one that has left. */
function streamBroke(unanswered: Unanswered): ProxyError | null {
  if (unanswered.kind === "timeout") {
    return new ProxyError("upstream_timeout", `The answer broke off: ${unanswered.detail}.`);
  }
  if (unanswered.kind === "stopped" && unanswered.why === "client_gone") return null;
  if (unanswered.kind === "stopped" && unanswered.why === "shutdown") {
    return new ProxyError(
      "service_unavailable",
      "The answer broke off: the proxy is shutting down.",
    );
  }
  if (unanswered.kind === "stopped" && unanswered.why === "cancelled") {
    return new ProxyError(
      "service_unavailable",
      "The answer broke off: an administrator cancelled this request.",
    );
  }
  return new ProxyError(
    "upstream_error",
    "The answer broke off: the engine's connection was lost.",
  );
}

function endOf(unanswered: Unanswered, why: ProxyError | null): End {
  if (why === null) return CLIENT_GONE;
  const stop = unanswered.kind === "stopped" ? unanswered.why : null;
  if (stop === "cancelled") return CANCELLED;
  return stop === "shutdown" ? SHUTDOWN : { how: "broken", error: why.kind };
}
