/**
 * Failures that engines report under status 200: the answer had begun, as HTTP sees it, when the
 * generation failed. Forms seen in LMDeploy (0.15 to 0.18), vLLM, SGLang and llama.cpp:
 * `{"error": {"message", "type", "code"}}`, `{"object": "error", "code", …}`, Anthropic's
 * `{"type": "error", "error": {"type"}}`, the Responses API's `response.failed` and `error`, and a
 * `finish_reason` of `error` or `abort`.
 */
import { Buffer } from "node:buffer";
import { asObject, type JsonObject, readObject } from "./json-object.ts";

/** What a failure amounts to that names no status. */
const UNNAMED = 500;
/** An answer that is given up by an engine that is well: another may take it. */
const ELSEWHERE = 503;

/** Parts of the `type` or `code` of an error, and the status that they stand for; the first that fits. */
const NAMES: readonly (readonly [RegExp, number])[] = [
  [/overload|unavailable|abort/i, ELSEWHERE],
  [/rate_?limit/i, 429],
  [/too_?large/i, 413],
  [/invalid_?request|bad_?request/i, 400],
  [/authentication|unauthorized/i, 401],
  [/permission|forbidden/i, 403],
  [/not_?found/i, 404],
  [/time_?out/i, 504],
];

/** The HTTP status that an event reports a failure with, or null when it reports none. */
export function failureOfEvent(name: string, value: JsonObject): number | null {
  const type = name === "" ? value.type : name;
  if (type === "response.failed") return statusOf(asObject(value.response)?.error);
  const { error } = value;
  if (type === "error") return statusOf(error ?? value);
  if (value.object === "error") return statusOf(value);
  if (asObject(error) !== null || (typeof error === "string" && error !== "")) {
    return statusOf(error);
  }
  return null;
}

function statusOf(error: unknown): number {
  const { code, type } = asObject(error) ?? {};
  // Nothing else is made a text or a number of: an object may have a `toString` that is none.
  const status = typeof code === "number" || typeof code === "string" ? Number(code) : Number.NaN;
  if (Number.isInteger(status) && status >= 400 && status <= 599) return status;
  const names = [type, code].filter((name) => typeof name === "string");
  const named = NAMES.find(([pattern]) => names.some((name) => pattern.test(name)));
  return named?.[1] ?? UNNAMED;
}

const SAYS_ERROR = /^\{\s*(?:"error"\s*:\s*(?:\{|"[^"])|"object"\s*:\s*"error")/;

/** The same of an event that is too long to be kept whole: of its data, JSON text, a part in the middle is missing. */
export function failureOfTornEvent(name: string, data: string): number | null {
  const type = name === "" ? /^\{\s*"type"\s*:\s*"([^"]*)"/.exec(data)?.[1] : name;
  if (type === "response.failed") return UNNAMED;
  if (type !== "error" && !SAYS_ERROR.test(data)) return null;
  // Behind the message, which is what is long. No text in it can look so: its quotes are escaped.
  const last = (member: string) =>
    [...data.matchAll(new RegExp(`"${member}"\\s*:\\s*"?([^",}]*)`, "g"))].at(-1)?.[1]?.trim();
  return statusOf({ code: last("code"), type: last("type") });
}

/** What a choice that ends so amounts to, or null when it ended well or has not ended. */
export function failureOfFinish(finishReason: unknown): number | null {
  if (finishReason === "abort") return ELSEWHERE;
  return finishReason === "error" ? UNNAMED : null;
}

/** Where a reason to finish stands in an answer: behind what was generated, before the usage. */
const FINISH_WITHIN_BYTES = 2_048;
const QUOTE = 0x22;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const CLOSE = 0x7d;
/** White space in JSON, and nothing else, is no greater. */
const BLANK = 0x20;
const ABORT = [...'"abort"'].map((char) => char.charCodeAt(0));
const ERROR = [...'"error"'].map((char) => char.charCodeAt(0));

/**
 * What a whole answer in JSON amounts to whose status is good: null when it is what it seems.
 * Looked for in its last bytes first, one by one (a native search costs ten times as much for so
 * few): nearly all answers are well, and are not parsed.
 */
export function failureOfWhole(body: Uint8Array): number | null {
  if (!mayHaveFailed(body)) return null;
  const choices = readObject(decoder.decode(body))?.choices;
  if (!Array.isArray(choices)) return null;
  const failures = choices.map((choice) => failureOfFinish(asObject(choice)?.finish_reason));
  // One that is well is worth having.
  return failures.every((failure) => failure !== null) ? (failures[0] ?? null) : null;
}

/** An answer that holds nothing is shorter, bytes: its names, and what it took. */
export const NOTHING_WITHIN_BYTES = 1_024;
const EMPTY_LIST = /"(?:choices|data)"\s*:\s*\[\s*\]/;

/** Whether a whole answer holds nothing: not a byte, or, in JSON, a list without a choice or an embedding. */
export function holdsNothing(body: Uint8Array): boolean {
  if (body.length === 0) return true;
  if (body.length > NOTHING_WITHIN_BYTES || !hasEmptyList(body)) return false;
  const text = decoder.decode(body);
  if (!EMPTY_LIST.test(text)) return false;
  const { choices, data } = readObject(text) ?? {};
  const list = choices ?? data;
  return Array.isArray(list) && list.length === 0;
}

/** Looked for like a failure: most answers have none, and are not decoded. */
function hasEmptyList(body: Uint8Array): boolean {
  let isOpen = false;
  for (let at = 0; at < body.length; at += 1) {
    const byte = body[at] ?? 0;
    if (byte === CLOSE_LIST && isOpen) return true;
    if (byte > BLANK) isOpen = byte === OPEN_LIST;
  }
  return false;
}

/**
 * Whether a short answer is none to its call, which has what was asked for in `list`: another server's, an error, or torn
 * text. Not of what is blank so far.
 */
export function lacks(body: Uint8Array, list: string): boolean {
  if (body.length > NOTHING_WITHIN_BYTES) return false;
  const last = body.findLast((byte) => byte > BLANK);
  if (last === undefined) return false;
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.length);
  return last !== CLOSE || !bytes.includes(`"${list}"`);
}

/** The status of an error that is all there is of an answer, or null. */
export function failureOfError(body: Uint8Array): number | null {
  const value = readObject(decoder.decode(body));
  return value === null ? null : failureOfEvent("", value);
}

/** Whether a whole answer in JSON was given up in its middle: every choice is aborted, and some have text or calls. */
export function isPartial(body: Uint8Array): boolean {
  const choices = readObject(decoder.decode(body))?.choices;
  if (!Array.isArray(choices)) return false;
  const each = choices.map((choice) => asObject(choice) ?? {});
  return each.every((choice) => choice.finish_reason === "abort") && each.some(saysAnything);
}

function saysAnything({ text, message }: JsonObject): boolean {
  const { content, reasoning_content, reasoning, tool_calls } = asObject(message) ?? {};
  return [text, content, reasoning_content, reasoning, tool_calls].some((part) =>
    typeof part === "string" || Array.isArray(part) ? part.length > 0 : false,
  );
}

const decoder = new TextDecoder();

function mayHaveFailed(body: Uint8Array): boolean {
  const from = Math.max(0, body.length - FINISH_WITHIN_BYTES);
  for (let at = body.length - ABORT.length; at >= from; at -= 1) {
    if (body[at] === QUOTE && (isAt(body, at, ABORT) || isAt(body, at, ERROR))) return true;
  }
  return false;
}

/** Whether `word` stands at `at`, where its first byte is known to. */
export function isAt(body: Uint8Array, at: number, word: readonly number[]): boolean {
  for (let i = 1; i < word.length; i += 1) if (body[at + i] !== word[i]) return false;
  return true;
}
