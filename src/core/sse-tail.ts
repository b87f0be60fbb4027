/**
 * How a broken event stream (https://html.spec.whatwg.org/multipage/server-sent-events.html) ends:
 * whether the bytes sent so far allow one more event, and that event in the client's dialect.
 */
import { errorEnvelope, type ProxyError } from "./errors.ts";

const encoder = new TextEncoder();

/** Two ends of lines, each of which may be LF, CR or CRLF. */
export const BETWEEN_EVENTS = /(?:\r\n|\n|\r(?!\n)){2}/;
const ENDS_EVENT = new RegExp(`${BETWEEN_EVENTS.source}$`);
/** CR LF CR LF, bytes. */
const LONGEST_END = 4;

/** Whether a stream that ends with `last`, or is no longer than that, stands between two events, or before the first. */
export function isEventEnd(last: Uint8Array): boolean {
  const end = Buffer.from(last.subarray(-LONGEST_END)).toString("latin1");
  return ENDS_EVENT.test(`\n\n${end}`);
}

/** In a JSON text, this is no part of a string: quotes are escaped there. */
const NUMBER_NAME = '"sequence_number":';
/** The name, a blank and more digits than a stream has events. */
const LONGEST_MEMBER = NUMBER_NAME.length + 20;

/** Finds the last `sequence_number` of a stream, wherever its pieces were cut, as events of OpenAI's Responses have it. */
export class SequenceNumbers {
  /** The end of what came, in which a member may have begun. */
  #carried: Uint8Array = new Uint8Array(0);
  /** The number of one more event; 0 while none has come. */
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
