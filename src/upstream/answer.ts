import { JsonBrackets } from "../core/body/json-brackets.ts";
import type { Clock } from "../core/clock.ts";
import { isEventStream, isPacked, retryAfterMs } from "../core/headers.ts";
import type { Answered } from "../core/pool/lease.ts";
import { isRefusal } from "../core/pool/statuses.ts";
import { NOTHING_WITHIN_BYTES } from "../core/said-failure.ts";
import { failureAtEnd, SseOpening } from "../core/sse-opening.ts";
import { BETWEEN_EVENTS, isEventEnd } from "../core/sse-tail.ts";
import type { AnswerForm, Usage } from "../core/usage.ts";
import type { Attempt, Unanswered } from "./attempt.ts";
import { amountOf } from "./worth.ts";

/** Answers of known length up to this are read whole before they are sent on: half the work, and one try more. */
const WHOLE_BYTES = 64 * 1024;

/** The part of a stream's reader that is used here. */
export interface PieceReader {
  read(): Promise<{ done: true; value?: unknown } | { done: false; value: Uint8Array }>;
  cancel(): Promise<void>;
}

/** An answer of which so much has come that it is known what it is worth; none of it is handed on yet. */
export interface Judged {
  readonly answer: Response;
  /** Null where nothing can be read of it as it passes: it is packed, or neither. */
  readonly form: AnswerForm | null;
  /** HTTP status: the head's, or the one that a failure under a good head amounts to. */
  readonly status: number;
  /** What has come of the body. */
  readonly pieces: readonly Uint8Array[];
  /** Where more comes from; null when that was all. */
  readonly rest: PieceReader | null;
}

/**
 * Reads of an answer what has to be known before it is handed on: a short one whole, of a stream of
 * events all that comes before something is generated, of JSON a KiB, of others the first piece. Never rejects.
 * @param target Path and query that were asked for.
 */
export async function readAnswer(
  attempt: Attempt,
  answer: Response,
  target: string,
  clock: Clock,
): Promise<Judged | Unanswered> {
  const { headers, status } = answer;
  const length = knownLength(headers);
  attempt.begun = length !== null;
  const form = formOf(headers);
  try {
    // Looking at `body` would make a stream of it, which costs more than all the rest.
    if (isShort(length)) {
      const body = await answer.bytes();
      if (body.length > 0) begun(attempt, headers, clock);
      return judge(answer, form, target, body, null);
    }
    const reader: PieceReader | undefined = answer.body?.getReader();
    if (reader === undefined) return judge(answer, form, target, NO_BYTES, null);
    if (answer.ok && form === "events") {
      return await readOpening(attempt, answer, reader, clock);
    }
    const first = await reader.read();
    if (first.done) {
      if (answer.ok && status !== 204 && endsWithConnection(headers)) throw new Error(CUT);
      return judge(answer, form, target, NO_BYTES, null);
    }
    begun(attempt, headers, clock);
    if (answer.ok && form === "json") {
      const { body, rest } = await readText(attempt, headers, first.value, reader, clock);
      return judge(answer, form, target, body, rest);
    }
    return judge(answer, form, target, first.value, reader);
  } catch (error) {
    return attempt.failed(error);
  }
}

/**
 * Reads a refusal, to be kept: a peer may be asked the same, and have nothing better to say. Whole also where its length
 * is not said, as that of one which was packed on its way is not; what is longer than `WHOLE_BYTES` keeps its rest. Null
 * for what is not to be kept: no refusal, a long one, or one that could be cut unseen. Never rejects.
 */
export async function readRefusal(
  attempt: Attempt,
  answer: Response,
  target: string,
  clock: Clock,
): Promise<Judged | Unanswered | null> {
  const length = knownLength(answer.headers);
  const isShortOrUnknown = length === null ? !endsWithConnection(answer.headers) : isShort(length);
  if (!isRefusal(answer.status) || !isShortOrUnknown) return null;
  const judged = await readAnswer(attempt, answer, target, clock);
  if ("kind" in judged || judged.rest === null) return judged;
  const { rest } = judged;
  const pieces = [...judged.pieces];
  let left = WHOLE_BYTES - pieces.reduce((sum, { length }) => sum + length, 0);
  try {
    while (left >= 0) {
      const next = await rest.read();
      if (next.done) return { ...judged, pieces, rest: null };
      pieces.push(next.value);
      left -= next.value.length;
    }
    return { ...judged, pieces };
  } catch (error) {
    return attempt.failed(error);
  }
}

const NO_BYTES = new Uint8Array(0);

/** @param body What has come of it: all, where `rest` is null. */
function judge(
  answer: Response,
  form: AnswerForm | null,
  target: string,
  body: Uint8Array,
  rest: PieceReader | null,
): Judged {
  const amount = amountOf(answer, form, target, body, rest === null);
  return { answer, form, status: amount, pieces: [body], rest };
}

/**
 * Reads a text in JSON of unknown length, `first` being its first piece, to its end, or as far as it may hold nothing:
 * that is known of no part of it.
 */
async function readText(
  attempt: Attempt,
  headers: Headers,
  first: Uint8Array,
  reader: PieceReader,
  clock: Clock,
): Promise<{ readonly body: Uint8Array; readonly rest: PieceReader | null }> {
  const brackets = new JsonBrackets();
  const pieces = [first];
  let bytes = first.length;
  for (let piece = first; bytes <= NOTHING_WITHIN_BYTES; bytes += piece.length) {
    brackets.push(piece);
    if (!brackets.areOpen) break;
    const next = await reader.read();
    if (next.done) {
      if (endsWithConnection(headers)) throw new Error(CUT);
      return { body: Buffer.concat(pieces), rest: null };
    }
    attempt.received(clock.now());
    piece = next.value;
    pieces.push(piece);
  }
  return { body: pieces.length > 1 ? Buffer.concat(pieces) : first, rest: reader };
}

/** Its first piece is there, over a connection that may be used again. */
function begun(attempt: Attempt, headers: Headers, clock: Clock): void {
  const nowMs = clock.now();
  attempt.received(nowMs);
  const isLast = /(?:^|,)\s*close\s*(?:,|$)/i.test(headers.get("connection") ?? "");
  if (!isLast) attempt.lease.node.answeredAtMs = nowMs;
}

async function readOpening(
  attempt: Attempt,
  answer: Response,
  reader: PieceReader,
  clock: Clock,
): Promise<Judged> {
  const opening = new SseOpening();
  const pieces: Uint8Array[] = [];
  for (;;) {
    const next = await reader.read();
    const verdict = next.done ? opening.end() : opening.push(next.value);
    if (!next.done) pieces.push(next.value);
    if (verdict === "opening") {
      // Whoever sends one is alive, and has said nothing yet.
      attempt.lease.node.progress += 1;
      continue;
    }
    begun(attempt, answer.headers, clock);
    const status = verdict === "begun" ? answer.status : verdict.failure;
    return { answer, form: "events", status, pieces, rest: next.done ? null : reader };
  }
}

/** How long the answer is by its head, bytes: then the engine has it whole. Null where that does not say. */
export function knownLength(headers: Headers): number | null {
  const length = headers.get("content-length");
  // Whatever length is said beside a coding, chunks do not go by it (RFC 9112, 6.3).
  return length === null || headers.has("transfer-encoding") ? null : Number(length);
}

/** What is said of an answer that ended with its connection, in its middle. */
export const CUT = "the answer ended in its middle";

/**
 * Whether the end of the connection is the end of the answer. fetch takes a reset for such an end
 * (Bun 1.4.5): only what came can tell whether that was all.
 */
export function endsWithConnection(headers: Headers): boolean {
  if (headers.has("content-length")) return false;
  // Only chunks have an end of their own (RFC 9112, 6.3): other codings do not.
  return !/(?:^|,)\s*chunked[\s,]*$/i.test(headers.get("transfer-encoding") ?? "");
}

/** Streams whose last event is known. */
const MARKED_END = /^\/v1\/(?:chat\/completions|completions|messages|responses)(?:\?|$)/;
/** Of last events what `isOver` does not know. No words of a model look so: their quotes are escaped. */
const END_MARK =
  /^error:|"type"\s*:\s*"(?:message_stop|response\.(?:completed|incomplete|failed))"/m;

/**
 * Whether an answer that ended with its connection, `last` being the end of what came, was cut. Of JSON it is known by
 * its brackets, too (`JsonBrackets`): behind an inner one it looks so as behind the last.
 */
export function isCut(form: AnswerForm | null, target: string, last: Uint8Array): boolean {
  if (form === "events") {
    if (!isEventEnd(last)) return true;
    return MARKED_END.test(target) && !isOver(last) && !END_MARK.test(lastEventOf(last));
  }
  const text = Buffer.from(last.buffer, last.byteOffset, last.length).toString("latin1");
  return form === "json" && !/[}\]"]\s*$/.test(text) && !isBareValue(text);
}

/** Behind these no client waits for more: OpenAI's for Python close the connection. */
const LAST_WORD =
  /^(?:data: ?\[DONE\] *$|(?:event: ?|data: ?\{\s*"type"\s*:\s*")(?:message_stop|response\.(?:completed|incomplete|failed))\b)/m;

/**
 * Whether a stream of events says of itself that it is over, also where its engine has not ended the answer yet.
 * @param last The end of what came.
 */
export function isOver(last: Uint8Array): boolean {
  if (!isEventEnd(last)) return false;
  const lastEvent = lastEventOf(last);
  // Behind a failure of one of several choices the others may go on.
  return LAST_WORD.test(lastEvent) || failureAtEnd(Buffer.from(lastEvent, "latin1")) !== null;
}

function lastEventOf(last: Uint8Array): string {
  const text = Buffer.from(last.buffer, last.byteOffset, last.length).toString("latin1");
  return text.split(BETWEEN_EVENTS).findLast(saysAnything) ?? "";
}

/** Whether there is more in an event than comments. */
function saysAnything(event: string): boolean {
  return event.split(/[\r\n]/).some((line) => line !== "" && !line.startsWith(":"));
}

/** Whether it is JSON without braces or brackets around it: a number, a string or a word. */
function isBareValue(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Whether an answer of this `knownLength` is so short that it is read whole. */
export function isShort(length: number | null): boolean {
  return length !== null && length <= WHOLE_BYTES;
}

/** How an answer is written, where what it says can be read as it passes; else null. */
function formOf(headers: Headers): AnswerForm | null {
  if (isPacked(headers)) return null;
  const type = headers.get("content-type");
  if (isEventStream(type)) return "events";
  return type !== null && JSON_TYPE.test(type) ? "json" : null;
}

const JSON_TYPE = /^application\/(?:[\w.-]+\+)?json\b/i;

/**
 * The outcome of an attempt whose answer was read to its end, or given up.
 * @param status What it amounts to.
 */
export function answered(
  answer: Response,
  clock: Clock,
  status = answer.status,
  usage: Usage | null = null,
  saidTokens: number | null = null,
): Answered {
  return {
    kind: "answered",
    status,
    usage,
    saidTokens,
    retryAfterMs: status < 400 ? null : retryAfterMs(answer.headers, clock.wallMs()),
  };
}
