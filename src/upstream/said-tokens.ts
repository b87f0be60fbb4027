import { smallValues } from "../core/body/member-spans.ts";
import { asObject } from "../core/json-object.ts";
import { LONG_TOKENS, SHORT_TOKENS } from "../core/pool/lengths.ts";
import type { AnswerForm, Usage } from "../core/usage.ts";
import type { InferenceRequest } from "./request.ts";

/** Calls that generate text; embeddings say that they took no tokens to answer. */
const GENERATES =
  /^\/(?:v1\/(?:chat\/completions|completions|messages|responses)|generate)(?:[/?]|$)/;
/** A stream of events spends so much on what stands around the words, and no less than so much on a token, bytes. */
const AROUND_BYTES = 1_024;
const TOKEN_BYTES = 256;
/** By what a request asks for few tokens. */
const LIMITS = [
  "max_tokens",
  "max_completion_tokens",
  "max_output_tokens",
  "max_new_tokens",
] as const;
const ASKED = [...LIMITS, "sampling_params"] as const;

/**
 * How many tokens of answer there were, about; null where nothing tells.
 * @param bytes Of the whole answer.
 */
export function saidTokens(
  form: AnswerForm | null,
  usage: Usage | null,
  bytes: number,
): number | null {
  const guess = form === "events" ? Math.max(0, bytes - AROUND_BYTES) / TOKEN_BYTES : null;
  return usage?.outputTokens ?? guess;
}

/** Whether there are so few that it depends on the request (`fewWouldTell`) if that says anything. */
export function areFew(tokens: number | null): boolean {
  return tokens !== null && tokens <= SHORT_TOKENS;
}

/**
 * Whether few tokens would say something of the engine: text is generated, and the request asks for no less. To be
 * asked before the body is given back: nothing is left of it when a stream ends.
 */
export function fewWouldTell({ target, body, head }: InferenceRequest): boolean {
  if (!GENERATES.test(target)) return false;
  if (head === null) return true;
  const asked = smallValues(body, head.members, ASKED);
  const nested = asObject(asked.sampling_params);
  const isFew = (limit: unknown) => typeof limit === "number" && limit < LONG_TOKENS;
  return !LIMITS.some((name) => isFew(asked[name]) || isFew(nested?.[name]));
}
