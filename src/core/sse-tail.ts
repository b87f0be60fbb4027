/**
 * How a broken event stream (https://html.spec.whatwg.org/multipage/server-sent-events.html) ends:
 * whether the bytes sent so far allow one more event, and that event in the client's dialect.
 */
import { errorEnvelope, type ProxyError } from "./errors.ts";

const LF = 0x0a;
const CR = 0x0d;

const encoder = new TextEncoder();

/**
 * Follows a stream just closely enough to know whether it stands between two events. An event ends
 * with an empty line, and a line with LF, CR or CRLF, wherever the pieces were cut.
 */
export class SseTail {
  /** The last four bytes, as one number. Before the first byte: as if an event had just ended. */
  #last = 0x0a0a0a0a;

  push(piece: Uint8Array): void {
    for (let i = Math.max(0, piece.length - 4); i < piece.length; i++) {
      this.#last = (this.#last << 8) | (piece[i] ?? 0);
    }
  }

  /** Whether nothing has come yet, or what came last was the end of an event. */
  get atEventEnd(): boolean {
    const last = this.#last & 0xff;
    if (last !== LF && last !== CR) return false;
    const isPair = last === LF && ((this.#last >> 8) & 0xff) === CR;
    const before = (this.#last >> (isPair ? 16 : 8)) & 0xff;
    return before === LF || before === CR;
  }
}

/**
 * The last event of a stream that `error` broke off, for clients of the endpoint `target` (a path,
 * with or without a query): Anthropic's `error` event, that of OpenAI's Responses API
 * (`ResponseErrorEvent`; without `sequence_number`, which nobody here has counted), or the unnamed
 * event with an `error` member that OpenAI's other clients look for.
 */
export function finalErrorEvent(error: ProxyError, target: string): Uint8Array {
  if (/^\/v1\/messages(?:[/?]|$)/.test(target)) {
    return encoder.encode(`event: error\n${dataLine(errorEnvelope(error, "anthropic"))}`);
  }
  if (/^\/v1\/responses(?:[/?]|$)/.test(target)) {
    const { kind: code, message } = error;
    const event = { type: "error", code, message, param: error.options.param ?? null };
    return encoder.encode(`event: error\n${dataLine(event)}`);
  }
  return encoder.encode(dataLine(errorEnvelope(error, "openai")));
}

/** The event's data (JSON text never holds a line break) and the empty line that ends it. */
function dataLine(data: object): string {
  return `data: ${JSON.stringify(data)}\n\n`;
}
