/**
 * The tokens that an engine says an answer took, read from the bytes that pass: only the beginning and
 * the end of an answer are looked at, and nothing but the member itself is parsed. Members by these names
 * stand where a model's words never do: text in JSON has its quotes escaped, and what a model or a client
 * may write as JSON of its own, a tool's input or its schema, is nested deeper.
 */

import { asObject, readObject } from "./json-object.ts";
import { isAt } from "./said-failure.ts";
import { textAt } from "./text.ts";

/** Tokens; null where the engine does not say. */
export interface Usage {
  /** With those that were cached. */
  readonly promptTokens: number | null;
  readonly outputTokens: number | null;
  /** Of the prompt's, those that the engine's prefix cache had. */
  readonly cachedTokens: number | null;
}

/** How an answer is written: one JSON text, or a stream of events (SSE) with one in each. */
export type AnswerForm = "json" | "events";

/** Of an answer's beginning so much is looked at, bytes. */
export const OPENING_BYTES = 4 * 1024;
/** A number that is larger counts no tokens. */
const MOST_TOKENS = 1e9;
/** So many objects by the name are looked at, from the last backwards. */
const MOST_LOOKS = 16;

const [QUOTE, BACKSLASH, COLON, COMMA, LF, CR] = [0x22, 0x5c, 0x3a, 0x2c, 0x0a, 0x0d];
const [OPEN, CLOSE, OPEN_LIST, CLOSE_LIST] = [0x7b, 0x7d, 0x5b, 0x5d];
/** OpenAI's and Anthropic's. */
const USAGE = [...'"usage"'].map((char) => char.charCodeAt(0));
/** SGLang's and LMDeploy's `/generate`. */
const META_INFO = [...'"meta_info"'].map((char) => char.charCodeAt(0));

/**
 * What an answer that is whole says it took; null when it says nothing, or not within the bytes that are
 * looked at.
 * @param target The path that was asked for, with or without a query.
 * @param opening Its first bytes. @param ending Its last bytes, or all of them.
 */
export function usageOf(
  form: AnswerForm,
  target: string,
  opening: Uint8Array,
  ending: Uint8Array,
): Usage | null {
  const name = /^\/generate(?:[/?]|$)/.test(target) ? META_INFO : USAGE;
  if (form === "json") {
    if (opening[0] !== OPEN) return null;
    return read(lastMember(ending, name, 1, form) ?? firstMember(opening, name, 1, form));
  }
  // The last event of the Responses API holds the whole response.
  const depth = /^\/v1\/responses(?:[/?]|$)/.test(target) ? 2 : 1;
  const last = lastMember(ending, name, depth, form);
  if (last === null || !/^\/v1\/messages(?:[/?]|$)/.test(target)) return read(last);
  // Anthropic's begins with the prompt's tokens, in `message_start`, and ends with those of the answer.
  return read({ ...firstMember(opening, name, 2, form), ...last });
}

type Member = Readonly<Record<string, unknown>>;

function read(member: Member | null): Usage | null {
  if (member === null) return null;
  const count = (value: unknown) =>
    Number.isSafeInteger(value) && Number(value) >= 0 && Number(value) <= MOST_TOKENS
      ? Number(value)
      : null;
  const details = asObject(member.prompt_tokens_details) ?? asObject(member.input_tokens_details);
  const cacheRead = count(member.cache_read_input_tokens);
  const input = count(member.input_tokens);
  // Anthropic's counts what was cached apart.
  const cachedApart = (cacheRead ?? 0) + (count(member.cache_creation_input_tokens) ?? 0);
  const promptTokens = count(member.prompt_tokens) ?? (input === null ? null : input + cachedApart);
  const outputTokens = count(member.completion_tokens) ?? count(member.output_tokens);
  const cachedTokens = count(details?.cached_tokens) ?? cacheRead ?? count(member.cached_tokens);
  const isKnown = promptTokens !== null || outputTokens !== null || cachedTokens !== null;
  return isKnown ? { promptTokens, outputTokens, cachedTokens } : null;
}

/**
 * The last member by the name that is an object and `depth` brackets deep. Where the end of the text is
 * known, its depth is how many brackets are closed behind it.
 */
function lastMember(
  bytes: Uint8Array,
  name: readonly number[],
  depth: number,
  form: AnswerForm,
): Member | null {
  let looks = 0;
  for (let at = bytes.length - name.length; at > 0 && looks < MOST_LOOKS; at -= 1) {
    if (bytes[at] !== QUOTE || !isAt(bytes, at, name) || !isKeyBegin(bytes, at)) continue;
    const value = valueAt(bytes, at + name.length);
    if (value === null) continue;
    looks += 1;
    const { member, end } = value;
    if (member !== null && closings(bytes, end, form) === depth) return member;
  }
  return null;
}

/** The first member by the name that is an object and `depth` brackets deep, read from the beginning. */
function firstMember(
  bytes: Uint8Array,
  name: readonly number[],
  depth: number,
  form: AnswerForm,
): Member | null {
  const end = Math.min(bytes.length, OPENING_BYTES);
  let level = 0;
  for (let at = 0; at < end; at += 1) {
    const byte = bytes[at];
    if (byte === QUOTE) {
      if (level === depth && isAt(bytes, at, name)) {
        const value = valueAt(bytes, at + name.length);
        if (value !== null && value.member !== null) return value.member;
      }
      at = endOfString(bytes, at);
    } else if (byte === OPEN || byte === OPEN_LIST) level += 1;
    else if (byte === CLOSE || byte === CLOSE_LIST) level -= 1;
    else if (form === "events" && (byte === LF || byte === CR)) level = 0;
  }
  return null;
}

/** Whether a quote begins a name: one that ends a string, or stands in it, has something else before it. */
function isKeyBegin(bytes: Uint8Array, quoteAt: number): boolean {
  let at = quoteAt - 1;
  while (at > 0 && isBlank(bytes[at])) at -= 1;
  return bytes[at] === OPEN || bytes[at] === COMMA;
}

/**
 * The object behind a name that ends at `at`, and where it ends; null when there is another value.
 * Its member is null when it cannot be read, or does not end.
 */
function valueAt(bytes: Uint8Array, at: number): { member: Member | null; end: number } | null {
  let start = at;
  while (isBlank(bytes[start]) || bytes[start] === COLON) start += 1;
  if (bytes[start] !== OPEN) return null;
  let level = 0;
  for (let end = start; end < bytes.length; end += 1) {
    const byte = bytes[end];
    if (byte === QUOTE) end = endOfString(bytes, end);
    else if (byte === OPEN || byte === OPEN_LIST) level += 1;
    else if (byte === CLOSE || byte === CLOSE_LIST) level -= 1;
    if (level > 0) continue;
    return { member: readObject(textAt(bytes, start, end + 1)), end: end + 1 };
  }
  return { member: null, end: bytes.length };
}

/** How many brackets are closed, more than opened, from `from` to the end of the text, or of its line. */
function closings(bytes: Uint8Array, from: number, form: AnswerForm): number {
  let closed = 0;
  for (let at = from; at < bytes.length; at += 1) {
    const byte = bytes[at];
    if (byte === QUOTE) at = endOfString(bytes, at);
    else if (byte === CLOSE || byte === CLOSE_LIST) closed += 1;
    else if (byte === OPEN || byte === OPEN_LIST) closed -= 1;
    else if (form === "events" && (byte === LF || byte === CR)) break;
  }
  return closed;
}

/** Where the string ends that begins at `from`: at its quote, or behind the bytes. */
function endOfString(bytes: Uint8Array, from: number): number {
  let at = from + 1;
  while (at < bytes.length && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1;
  return at;
}

function isBlank(byte: number | undefined): boolean {
  return byte === 0x20 || byte === LF || byte === CR || byte === 0x09;
}
