/**
 * How a stream of events (https://html.spec.whatwg.org/multipage/server-sent-events.html) begins.
 * Engines send some events before they have computed anything: what follows them tells whether the
 * stream is worth handing on, or is a failure that says 200.
 */
import { Buffer } from "node:buffer";
import { asObject, readObject } from "./json-object.ts";
import { failureOfEvent, failureOfFinish, failureOfTornEvent } from "./said-failure.ts";

/**
 * What is known of a stream: only openings have come so far; something generated has; or it is a
 * failure with that HTTP status.
 */
export type Verdict = "opening" | "begun" | { readonly failure: number };

/** An opening that is longer is no longer held back. `response.created` repeats the instructions. */
export const MAX_OPENING_BYTES = 256 * 1024;

/** A stream that ends before it has said anything is no answer. */
const SAID_NOTHING: Verdict = { failure: 502 };

/** Events that say nothing of what is generated. They may be long: they are not looked into. */
const OPENINGS: ReadonlySet<string> = new Set([
  "ping",
  "message_start",
  "response.created",
  "response.queued",
  "response.in_progress",
]);

const LF = "\n";
const CR = "\r";

/** Reads a stream's events one by one, wherever its pieces were cut, until it is known what it is. */
export class SseOpening {
  readonly #decoder = new TextDecoder();
  #bytes = 0;
  #line = "";
  #isAfterCr = false;
  #name = "";
  #data: string | null = null;
  #verdict: Verdict = "opening";

  /** The next piece of the stream. What it says once it is known does not change any more. */
  push(piece: Uint8Array): Verdict {
    if (this.#verdict !== "opening") return this.#verdict;
    this.#bytes += piece.length;
    this.#read(this.#decoder.decode(piece, { stream: true }));
    if (this.#verdict === "opening" && this.#bytes > MAX_OPENING_BYTES) this.#verdict = "begun";
    return this.#verdict;
  }

  /** The stream has ended. */
  end(): Verdict {
    if (this.#verdict !== "opening") return this.#verdict;
    // Its last event may lack the empty line.
    this.#lineEnded();
    this.#eventEnded();
    return this.#verdict === "opening" ? SAID_NOTHING : this.#verdict;
  }

  #read(text: string): void {
    let start = 0;
    for (let i = 0; i < text.length && this.#verdict === "opening"; i += 1) {
      const char = text[i];
      if (char === LF && this.#isAfterCr) start = i + 1;
      else if (char === LF || char === CR) {
        this.#line += text.slice(start, i);
        this.#lineEnded();
        start = i + 1;
      }
      this.#isAfterCr = char === CR;
    }
    this.#line += text.slice(start);
  }

  #lineEnded(): void {
    const line = this.#line;
    this.#line = "";
    if (line === "") {
      this.#eventEnded();
      return;
    }
    const [, field = "", value = ""] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
    if (field === "event") this.#name = value;
    // llama.cpp's way to report a failure.
    else if (field === "error") this.#name = "error";
    if (field === "data" || field === "error") {
      this.#data = this.#data === null ? value : `${this.#data}\n${value}`;
    }
  }

  #eventEnded(): void {
    if (this.#data !== null) this.#verdict = verdictOn(this.#name, this.#data);
    this.#name = "";
    this.#data = null;
  }
}

/** What one event at the beginning of a stream says of it. */
function verdictOn(name: string, data: string): Verdict {
  if (data === "[DONE]") return SAID_NOTHING;
  if (OPENINGS.has(name)) return "opening";
  const value = readObject(data);
  if (value === null) return data === "" ? "opening" : "begun";
  const failure = failureOfEvent(name, value);
  if (failure !== null) return { failure };
  const type = name === "" && typeof value.type === "string" ? value.type : name;
  if (OPENINGS.has(type)) return "opening";
  if (Array.isArray(value.choices)) return verdictOnChoices(value.choices);
  return isEmptyPart(type, value) ? "opening" : "begun";
}

/** Of a chunk of chat completions or completions. */
function verdictOnChoices(choices: readonly unknown[]): Verdict {
  for (const each of choices) {
    const choice = asObject(each) ?? {};
    const { role: _, ...said } = asObject(choice.delta) ?? {};
    if (![choice.text, ...Object.values(said)].every(isEmpty)) return "begun";
    const failure = failureOfFinish(choice.finish_reason);
    if (failure !== null) return { failure };
    if (!isEmpty(choice.finish_reason)) return "begun";
  }
  return "opening";
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || value === "" || isEmptyList(value);
}

function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

/** Of Anthropic's API and OpenAI's Responses: a place for text that has none yet. */
function isEmptyPart(type: string, value: Readonly<Record<string, unknown>>): boolean {
  switch (type) {
    case "content_block_start": {
      const block = asObject(value.content_block);
      return block?.type === "text" || block?.type === "thinking"
        ? isEmpty(block.text) && isEmpty(block.thinking)
        : false;
    }
    case "response.output_item.added": {
      const item = asObject(value.item);
      return (item?.type === "message" || item?.type === "reasoning") && isEmpty(item.content);
    }
    case "response.content_part.added":
    case "response.reasoning_part.added":
    case "response.reasoning_summary_part.added":
      return isEmpty(asObject(value.part)?.text);
    default:
      return false;
  }
}

/** The status of a failure that a whole stream is or reports, or null. */
export function failureOfStream(stream: Uint8Array): number | null {
  const opening = new SseOpening();
  opening.push(stream);
  const verdict = opening.end();
  return typeof verdict === "string" ? failureAtEnd(stream) : verdict.failure;
}

/** The status of a failure that is reported in `ending`, the last bytes of a stream (`Ending.events`), or null. */
export function failureAtEnd(ending: Uint8Array): number | null {
  const bytes = Buffer.from(ending.buffer, ending.byteOffset, ending.length);
  if (!bytes.includes("error") && !bytes.includes("failed")) return null;
  // As bytes: in UTF-8 a model could write what JavaScript's `^` and `$` take for lines, U+2028 and U+2029.
  for (const event of bytes.toString("latin1").split(/\r\n\r\n|\n\n|\r\r/)) {
    const name = /^event: ?(.*)$/m.exec(event)?.[1]?.trim() ?? "";
    const data = /^data: ?(.*)$/m.exec(event)?.[1] ?? "";
    const value = readObject(data);
    const failure = value === null ? failureOfTornEvent(name, data) : failureOfEvent(name, value);
    if (failure !== null) return failure;
  }
  return null;
}
