/**
 * How a broken event stream (https://html.spec.whatwg.org/multipage/server-sent-events.html) ends:
 * whether the bytes sent so far allow one more event, and that event in the client's dialect.
 */
import { errorEnvelope, type ProxyError } from "./errors.ts";

const LF = 0x0a;
const CR = 0x0d;
const EVENT_END = new Uint8Array([LF, LF]);
/** CR LF CR LF, bytes. */
const LONGEST_EVENT_END = 4;

const encoder = new TextEncoder();

/**
 * Follows a stream just closely enough to know whether it stands between two events. An event ends
 * with an empty line, and a line with LF, CR or CRLF, wherever the pieces were cut.
 */
export class SseTail {
  /** The last piece; with those before it where it is too short. Before the first: as if an event had just ended. */
  #end: Uint8Array = EVENT_END;
  readonly #numbers: SequenceNumbers | null;

  /** @param isNumbered Whether its events carry `sequence_number`, as those of OpenAI's Responses do. */
  constructor(isNumbered = false) {
    this.#numbers = isNumbered ? new SequenceNumbers() : null;
  }

  push(piece: Uint8Array): void {
    this.#numbers?.push(piece);
    this.#end =
      piece.length >= LONGEST_EVENT_END
        ? piece
        : Buffer.concat([this.#end.slice(-LONGEST_EVENT_END), piece]);
  }

  /** Whether nothing has come yet, or what came last was the end of an event. */
  get atEventEnd(): boolean {
    const last = this.#end.at(-1);
    if (last !== LF && last !== CR) return false;
    const isPair = last === LF && this.#end.at(-2) === CR;
    const before = this.#end.at(isPair ? -3 : -2);
    return before === LF || before === CR;
  }

  /** The `sequence_number` of one more event; 0 when the stream has none. */
  get nextNumber(): number {
    return this.#numbers?.next ?? 0;
  }
}

/** In a JSON text, this is no part of a string: quotes are escaped there. */
const NUMBER_NAME = '"sequence_number":';
/** The name, a blank and more digits than a stream has events. */
const LONGEST_MEMBER = NUMBER_NAME.length + 20;

/** Finds the last `sequence_number` of a stream, wherever its pieces were cut. */
class SequenceNumbers {
  /** The end of what came, in which a member may have begun. */
  #carried: Uint8Array = new Uint8Array(0);
  next = 0;

  push(piece: Uint8Array): void {
    const text = Buffer.concat([this.#carried, piece]);
    const at = text.lastIndexOf(NUMBER_NAME);
    const start = Math.max(0, text.length - LONGEST_MEMBER);
    if (at >= 0) {
      const digits = /^\s*(\d{1,15})/.exec(
        text.toString("latin1", at + NUMBER_NAME.length, at + LONGEST_MEMBER),
      );
      if (digits !== null) this.next = Number(digits[1]) + 1;
    }
    this.#carried = text.subarray(start);
  }
}

/**
 * The last event of a stream that `error` broke off, for clients of the endpoint `target` (a path,
 * with or without a query): Anthropic's `error` event, that of OpenAI's Responses API
 * (`ResponseErrorEvent`), or the unnamed event with an `error` member that OpenAI's other clients
 * look for.
 * @param number The `sequence_number` where events have one.
 */
export function finalErrorEvent(
  error: ProxyError,
  target: string,
  requestId: string,
  number: number,
): Uint8Array {
  if (/^\/v1\/messages(?:[/?]|$)/.test(target)) {
    const envelope = errorEnvelope(error, "anthropic", requestId);
    return encoder.encode(`event: error\n${dataLine(envelope)}`);
  }
  if (isNumbered(target)) {
    const { kind: code, message } = error;
    const param = error.options.param ?? null;
    const event = { type: "error", code, message, param, sequence_number: number };
    return encoder.encode(`event: error\n${dataLine(event)}`);
  }
  return encoder.encode(dataLine(errorEnvelope(error, "openai")));
}

/** Whether the events of a stream from `target` carry `sequence_number`. */
export function isNumbered(target: string): boolean {
  return /^\/v1\/responses(?:[/?]|$)/.test(target);
}

/** The event's data (JSON text never holds a line break) and the empty line that ends it. */
function dataLine(data: object): string {
  return `data: ${JSON.stringify(data)}\n\n`;
}
