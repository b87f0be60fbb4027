/** The two bodies that a client's body becomes: one for the prefill node, one for the decode node. */
import { type NewMember, withMembers } from "../core/body/body-edit.ts";
import {
  CLOSE_BRACKET,
  newNesting,
  OPEN_BRACE,
  OPEN_BRACKET,
  QUOTE,
  skipNested,
  skipString,
  skipWhitespace,
} from "../core/body/json-scan.ts";
import { lastMember, valueText } from "../core/body/member-spans.ts";
import type { RequestHead } from "../core/body/request-head.ts";
import { ProxyError } from "../core/errors.ts";
import { parseJson } from "./json-members.ts";

/** What the decode engine alone does: the prefill makes one token and names its own session. */
const NOT_FOR_PREFILL = ["stream_options", "session_id"] as const;

/** On both endpoints: an engine takes `max_completion_tokens` where it has it. */
const PREFILL_FIELDS = [
  ["stream", "false"],
  ["max_tokens", "1"],
  ["max_completion_tokens", "1"],
] as const satisfies readonly NewMember[];

const KEEP_CACHE = [
  ["with_cache", "true"],
  ["preserve_cache", "true"],
] as const satisfies readonly NewMember[];

/** The body of the prefill request: one token, and its KV blocks are kept. */
export function prefillBody(body: Uint8Array, head: RequestHead): Uint8Array {
  const atLeast = numberValue(body, head, "min_new_tokens");
  const fewer: readonly NewMember[] = atLeast > 1 ? [["min_new_tokens", "1"]] : [];
  return withMembers(body, head, NOT_FOR_PREFILL, [...PREFILL_FIELDS, ...fewer, ...KEEP_CACHE]);
}

/** The body of the decode request: the client's own, and where its KV blocks are. */
export function decodeBody(body: Uint8Array, head: RequestHead, migration: string): Uint8Array {
  return withMembers(body, head, [], [["migration_request", migration]]);
}

/**
 * A prefill makes one session for one prompt: several answers or prompts cannot be handed over.
 * @throws ProxyError invalid_request
 */
export function refuseSeveral(body: Uint8Array, head: RequestHead): void {
  if (numberValue(body, head, "n") > 1) {
    throw new ProxyError(
      "invalid_request",
      "With DistServe a request has one answer: leave `n` out, or send several requests.",
      { param: "n" },
    );
  }
  const prompt = lastMember(body, head.members, "prompt");
  if (prompt !== null && isSeveralPrompts(body, prompt.valueStart)) {
    throw new ProxyError(
      "invalid_request",
      "With DistServe a request has one prompt, a string or a list of token ids; " +
        "send one request for each prompt.",
      { param: "prompt" },
    );
  }
}

/** Engines read numbers in strings, too. NaN for what cannot be one: what is nested may be large, and is not read. */
function numberValue(body: Uint8Array, head: RequestHead, name: string): number {
  const member = lastMember(body, head.members, name);
  if (member === null || isNested(body[member.valueStart])) return Number.NaN;
  const value = parseJson(valueText(body, member));
  return typeof value === "number" || typeof value === "string" ? Number(value) : Number.NaN;
}

function isNested(first: number | undefined): boolean {
  return first === OPEN_BRACKET || first === OPEN_BRACE;
}

/** Whether what begins at `start` is a list that begins with a prompt, not with a token id, and goes on behind it. */
function isSeveralPrompts(body: Uint8Array, start: number): boolean {
  if (body[start] !== OPEN_BRACKET) return false;
  const first = skipWhitespace(body, start + 1);
  const byte = body[first];
  if (byte !== QUOTE && !isNested(byte)) return false;
  const end = byte === QUOTE ? skipString(body, first + 1) : skipNested(body, first, newNesting());
  return body[skipWhitespace(body, end)] !== CLOSE_BRACKET;
}
