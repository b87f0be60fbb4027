/** The events of a streamed chat completion, in LMDeploy's manner and in that of the others. */
import type { EngineKind } from "../../../core/engine/kinds.ts";
import type { JsonObject } from "../../../core/json-object.ts";
import { asciiEvent, SSE_DONE, sseEvent } from "../answer.ts";
import { booleanField, numberField } from "../body.ts";
import { type Completion, cachedTokens, finishOf, usageOf } from "../completion.ts";
import { chatLogprobs, tokenLogprobs } from "../logprobs.ts";
import { rounds, type Said } from "../rounds.ts";
import { tokenId } from "../tokens.ts";
import type { ToolCall } from "../tool-call.ts";
import type { Transfer } from "../transfer.ts";

export interface ChatAnswer {
  readonly body: JsonObject;
  readonly choices: readonly Completion[];
  readonly toolCall: ToolCall | null;
  readonly envelope: object;
  readonly transfer: Transfer;
  readonly withUsage: boolean;
}

const OBJECT = "chat.completion.chunk";

/**
 * As LMDeploy: the role in every delta, no reason until there is one, the choices of one step in one
 * event, the end in one of its own, and `"usage": null` until it comes, if it was asked for.
 */
export async function* lmdeployEvents(answer: ChatAnswer): AsyncGenerator<string, void> {
  const { choices, envelope, transfer, withUsage } = answer;
  const head = { ...envelope, object: OBJECT };
  let isFirst = true;
  for await (const said of rounds(choices)) {
    if (isFirst) await transfer.finish(choices);
    const drawn = said.map((one) => lmdeployChoice(answer, one, isFirst));
    isFirst = false;
    yield asciiEvent({ ...head, choices: drawn, ...(withUsage && { usage: null }) });
  }
  if (withUsage) {
    const usage = { ...usageOf(choices, 1), prompt_tokens_details: cachedTokens(choices) };
    yield sseEvent({ ...head, choices: [], usage });
  }
  yield SSE_DONE;
}

function lmdeployChoice(answer: ChatAnswer, { index, completion, piece }: Said, isFirst: boolean) {
  const { body, toolCall } = answer;
  const pieces = piece === null ? [] : [piece];
  const isLast = piece === null;
  return {
    index,
    delta: { role: "assistant", ...deltaOf(toolCall, completion, piece, isFirst) },
    ...(!isLast && booleanField(body, "logprobs") && { logprobs: logprobsOf(body, pieces) }),
    ...(!isLast &&
      booleanField(body, "return_logprob") && { output_token_logprobs: tokenLogprobs(pieces) }),
    ...(booleanField(body, "return_token_ids") && { output_ids: pieces.map(tokenId) }),
    ...(isLast && { finish_reason: chatFinish(completion, toolCall) }),
  };
}

/**
 * As vLLM and SGLang, but unkinder: a first event with the role alone, here before the prefill, then
 * an event a token with every field there, the reason with an empty delta, and the usage behind.
 */
export async function* otherEvents(
  answer: ChatAnswer,
  kind: EngineKind,
): AsyncGenerator<string, void> {
  const { body, choices, toolCall, envelope, transfer, withUsage } = answer;
  const head = { ...envelope, object: OBJECT };
  const event = (index: number, delta: object, finish_reason: string | null, more: object = {}) =>
    sseEvent({ ...head, choices: [{ index, delta, logprobs: null, finish_reason, ...more }] });
  const opening = toolCall !== null || kind === "llamacpp" ? null : "";
  for (const index of choices.keys()) {
    yield event(index, { role: "assistant", content: opening }, null);
  }
  let isFirst = true;
  for await (const said of rounds(choices)) {
    if (isFirst) await transfer.finish(choices);
    for (const { index, completion, piece } of said) {
      if (piece === null) {
        yield event(index, {}, chatFinish(completion, toolCall));
        continue;
      }
      const more = {
        ...(booleanField(body, "logprobs") && { logprobs: logprobsOf(body, [piece]) }),
        ...(booleanField(body, "return_token_ids") && { token_ids: [tokenId(piece)] }),
      };
      yield event(index, deltaOf(toolCall, completion, piece, isFirst), null, more);
    }
    isFirst = false;
  }
  if (withUsage) yield sseEvent({ ...head, choices: [], usage: usageOf(choices, 1) });
  yield SSE_DONE;
}

function deltaOf(
  toolCall: ToolCall | null,
  completion: Completion,
  piece: string | null,
  isFirst: boolean,
): object {
  if (toolCall === null || piece === null) return { content: piece ?? "" };
  const named = { id: toolCallId(completion), type: "function" };
  const called = { ...(isFirst && { name: toolCall.name }), arguments: piece };
  return { tool_calls: [{ index: 0, ...(isFirst && named), function: called }] };
}

export function logprobsOf(body: JsonObject, pieces: readonly string[]): object | null {
  if (!booleanField(body, "logprobs")) return null;
  return chatLogprobs(pieces, numberField(body, "top_logprobs") ?? 0);
}

export function toolCallId({ session }: Completion): string {
  return `call_${session}`;
}

export function chatFinish(completion: Completion, toolCall: ToolCall | null): string {
  const reason = finishOf(completion);
  return toolCall && reason === "stop" ? "tool_calls" : reason;
}
