import type { Clock } from "../core/clock.ts";
import { ProxyError } from "../core/errors.ts";
import { CLIENT_GONE, COMPLETE, type End, SHUTDOWN } from "../core/exchange.ts";
import { answerHeaders, isEventStream } from "../core/headers.ts";
import type { Outcome } from "../core/pool/lease.ts";
import { finalErrorEvent, isNumbered, SseTail } from "../core/sse-tail.ts";
import type { Attempt, Unanswered } from "./attempt.ts";
import { answered } from "./forward.ts";
import type { InferenceRequest } from "./request.ts";

/** Answers of known length up to this are read whole before they are sent on: half the work, and one try more. */
const WHOLE_BYTES = 64 * 1024;
/** How long a client that does not read may hold up the break of its connection, ms. */
const BREAK_DRAIN_MS = 1_000;
/**
 * Between the last bytes and the break, ms. A break resets the connection: that discards what the
 * kernel has not sent yet and, on some clients' systems, what has arrived and not been read.
 */
const BREAK_DELAY_MS = 100;

/**
 * Hands the engine's answer on to the client: the same bytes, each piece as it arrives. Resolves
 * when the first piece is there, so that a node that dies before it can still be replaced. Never
 * rejects. The attempt's lease ends with the answer's last byte.
 */
export async function relay(
  attempt: Attempt,
  answer: Response,
  request: InferenceRequest,
  clock: Clock,
): Promise<Response | Unanswered> {
  const outcome = answered(answer, clock);
  const { lease } = attempt;
  const { exchange } = request;
  const { status } = answer;
  const head = { status, headers: answerHeaders(answer, exchange.id, lease.node.url) };
  attempt.begun = knowsLength(answer.headers);
  try {
    // Looking at `body` would make a stream of it, which costs more than all the rest.
    if (isShort(answer.headers)) {
      const body = await answer.bytes();
      const nowMs = clock.now();
      attempt.received(nowMs);
      lease.end(outcome);
      exchange.head(status);
      if (body.length > 0) exchange.piece(body.length, nowMs);
      exchange.end(COMPLETE);
      return new Response(body.length === 0 ? null : body, head);
    }
    const reader: PieceReader | undefined = answer.body?.getReader();
    const first = await reader?.read();
    if (reader === undefined || first === undefined || first.done) {
      lease.end(outcome);
      exchange.head(status);
      exchange.end(COMPLETE);
      return new Response(null, head);
    }
    attempt.received(clock.now());
    exchange.head(status);
    const tail = isPlainEvents(answer.headers) ? new SseTail(isNumbered(request.target)) : null;
    const relaying = { attempt, outcome, clock, tail, request };
    return new Response(pieceByPiece(first.value, reader, relaying), head);
  } catch (error) {
    return attempt.failed(error);
  }
}

interface Relaying {
  readonly attempt: Attempt;
  readonly outcome: Outcome;
  readonly clock: Clock;
  /** Null unless it is a stream of events to which one can be added. */
  readonly tail: SseTail | null;
  readonly request: InferenceRequest;
}

/**
 * A direct stream: in Bun 1.4.5 the cheapest body that still sees each piece and the end, and breaks
 * when told to. `write` sends at once, and gives a promise only when the client's socket is full:
 * nothing more is read from the engine until that resolves.
 */
function pieceByPiece(first: Uint8Array, reader: PieceReader, relaying: Relaying) {
  const { attempt, outcome, clock, tail, request } = relaying;
  const { exchange } = request;
  let piece: Uint8Array | null = first;
  return new ReadableStream<Uint8Array>({
    type: "direct",
    async pull(sink) {
      let nowMs = clock.now();
      try {
        while (piece !== null) {
          exchange.piece(piece.length, nowMs);
          tail?.push(piece);
          const wrote = sink.write(piece);
          // The sink has a copy: a client that does not read should not hold two.
          piece = null;
          if (typeof wrote !== "number") await roomAgain(wrote, attempt);
          const next = await reader.read();
          if (next.done) break;
          nowMs = clock.now();
          attempt.received(nowMs);
          piece = next.value;
        }
        attempt.lease.end(outcome);
        exchange.end(COMPLETE);
        sink.close();
      } catch (error) {
        const unanswered = attempt.failed(error);
        const why = streamBroke(unanswered);
        exchange.end(endOf(unanswered, why));
        const lastEvent =
          tail?.atEventEnd === true && why !== null
            ? finalErrorEvent(why, request.target, exchange.id, tail.nextNumber)
            : null;
        await breakOff(sink, why === null, lastEvent, clock);
      }
    },
    cancel() {
      attempt.stop("client_gone");
      exchange.end(CLIENT_GONE);
    },
  });
}

/** The part of a stream's reader that is used here. */
interface PieceReader {
  read(): Promise<{ done: true; value?: unknown } | { done: false; value: Uint8Array }>;
}

/** Resolves when the client's socket takes more, or when the attempt has been stopped. */
async function roomAgain(wrote: Promise<number>, attempt: Attempt): Promise<void> {
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
    signal.removeEventListener("abort", stop);
  }
}

/** Whether the head says how long the answer is: then the engine has it whole. */
export function knowsLength(headers: Headers): boolean {
  return headers.has("content-length");
}

/** Whether it is a stream of events in plain text: into a compressed one no text may be written. */
function isPlainEvents(headers: Headers): boolean {
  return isEventStream(headers) && /^(?:identity)?$/i.test(headers.get("content-encoding") ?? "");
}

/** Whether an answer is known to be so short that it is read whole. */
export function isShort(headers: Headers): boolean {
  const length = headers.get("content-length");
  return length !== null && Number(length) <= WHOLE_BYTES;
}

/**
 * Ends an answer that broke in the middle so that it cannot be taken for a whole one.
 * @param lastEvent Null when none may be written: the stream is not one of events, or not between two.
 */
async function breakOff(
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
  return new ProxyError(
    "upstream_error",
    "The answer broke off: the engine's connection was lost.",
  );
}

function endOf(unanswered: Unanswered, why: ProxyError | null): End {
  if (why === null) return CLIENT_GONE;
  const isShutdown = unanswered.kind === "stopped" && unanswered.why === "shutdown";
  return isShutdown ? SHUTDOWN : { how: "broken", error: why.kind };
}
