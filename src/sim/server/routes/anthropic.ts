/** Anthropic's API: POST /v1/messages and /v1/messages/count_tokens, GET /anthropic/v1/models. */
import type { EngineKind } from "../../../core/engine/kinds.ts";
import type { JsonObject } from "../../../core/json-object.ts";
import { type Answer, EngineRefusal, eventStream, jsonAnswer, namedEvent } from "../answer.ts";
import { booleanField, checkFields, listField, numberField } from "../body.ts";
import type { Call } from "../call.ts";
import {
  type Completion,
  completionPieces,
  createdAt,
  finishOf,
  requestedModel,
  saidTokens,
  shortId,
  startCompletion,
  wholePieces,
} from "../completion.ts";
import type { Engine } from "../engine.ts";
import { checkSampling } from "../sampling.ts";
import { withNamedFailure } from "../stream-errors.ts";
import { structuredPieces } from "../structured.ts";
import { countTokens, tokenId } from "../tokens.ts";
import { type ToolCall, toolCallFor } from "../tool-call.ts";
import { chatPrompt } from "./chat.ts";
import { COUNT_TOKENS, MESSAGES, ofKind } from "./fields.ts";

interface MessageUnderWay {
  readonly completion: Completion;
  readonly toolCall: ToolCall | null;
  readonly head: object;
  readonly model: string;
  readonly kind: EngineKind;
}

/** As LMDeploy does: a call without the version header is refused. */
function refuseWithoutVersion({ settings }: Engine, call: Call): void {
  if (settings.kind === "lmdeploy" && !call.headers.get("anthropic-version")) {
    throw new EngineRefusal(400, "Missing required header: anthropic-version");
  }
}

function promptOf(body: JsonObject): string {
  return chatPrompt([...listField(body, "system"), ...listField(body, "messages")]);
}

export function countMessageTokens(engine: Engine, call: Call, body: JsonObject): Answer {
  checkFields(body, ofKind(engine.settings.kind, COUNT_TOKENS));
  refuseWithoutVersion(engine, call);
  requestedModel(engine, body);
  return jsonAnswer({ input_tokens: countTokens(promptOf(body)) });
}

export async function messages(engine: Engine, call: Call, body: JsonObject): Promise<Answer> {
  const { settings } = engine;
  checkFields(body, ofKind(settings.kind, MESSAGES));
  refuseWithoutVersion(engine, call);
  const model = requestedModel(engine, body);
  const limit = numberField(body, "max_tokens") ?? 1;
  if (limit < 1) throw new EngineRefusal(400, "max_tokens: Input should be greater than 0");
  checkSampling(body);
  const sent = listField(body, "messages");
  const ids = listField(body, "input_ids");
  if (sent.length === 0 && ids.length === 0) {
    throw new EngineRefusal(400, "messages must not be empty unless input_ids is set.");
  }
  const toolCall = toolCallFor(body, sent);
  const text = sent.length === 0 ? ids.join(" ") : promptOf(body);
  const pieces = toolCall?.pieces ?? structuredPieces(body);
  const completion = startCompletion(engine, call, body, text, { model, pieces });
  const head = { id: `msg_${shortId()}`, type: "message", role: "assistant" };
  const underWay = { completion, toolCall, head, model, kind: settings.kind };
  if (booleanField(body, "stream")) {
    return eventStream(withNamedFailure(settings, messageEvents(underWay)));
  }
  const said = await wholePieces(completion);
  const content = toolCall
    ? { ...toolBlock(underWay, toolCall), input: parsed(said) }
    : { type: "text", text: said.join("") };
  return jsonAnswer({
    ...head,
    content: [content],
    model,
    ...stopOf(underWay),
    usage: { input_tokens: completion.prompt.tokens, output_tokens: saidTokens(completion) },
    output_ids: booleanField(body, "return_token_ids") ? said.map(tokenId) : null,
    output_token_logprobs: null,
    routed_experts: null,
  });
}

/** The arguments of a call; none when they were cut off. */
function parsed(pieces: readonly string[]): unknown {
  try {
    return JSON.parse(pieces.join(""));
  } catch {
    return {};
  }
}

export function anthropicModels(engine: Engine): Answer {
  const created_at = engine.settings.kind === "lmdeploy" ? createdAt() : new Date().toISOString();
  const data = engine.models.map((id) => ({ id, type: "model", display_name: id, created_at }));
  return jsonAnswer({
    data,
    has_more: false,
    first_id: engine.models[0] ?? null,
    last_id: engine.models[engine.models.length - 1] ?? null,
  });
}

function toolBlock({ completion }: MessageUnderWay, toolCall: ToolCall): object {
  return { type: "tool_use", id: `toolu_${completion.session}`, name: toolCall.name };
}

/** Why it ended; LMDeploy and SGLang name no stop sequence, llama.cpp does and calls it an end by itself. */
function stopOf({ completion, toolCall, kind }: MessageUnderWay) {
  const ended = (stop_reason: string, stop_sequence: string | null = null) => ({
    stop_reason,
    stop_sequence,
  });
  if (finishOf(completion) === "length") return ended("max_tokens");
  const { stopWord } = completion;
  if (kind === "vllm" && stopWord !== null) return ended("stop_sequence", stopWord);
  return ended(toolCall ? "tool_use" : "end_turn", kind === "llamacpp" ? stopWord : null);
}

async function* messageEvents(underWay: MessageUnderWay): AsyncGenerator<string, void> {
  const { completion, toolCall, head, model, kind } = underWay;
  // The opening comes before the prefill, and so without its tokens: those are told at the end.
  const isEarly = kind === "vllm" || kind === "sglang";
  const event = (type: string, fields: object) => namedEvent(type, { type, ...fields });
  const opening = (output_tokens: number) => {
    const usage = { input_tokens: isEarly ? 0 : completion.prompt.tokens, output_tokens };
    const rest = { content: [], model, stop_reason: null, stop_sequence: null, usage };
    return event("message_start", { message: { ...head, ...rest } });
  };
  const content_block = toolCall
    ? { ...toolBlock(underWay, toolCall), input: {} }
    : { type: "text", text: "" };
  const blockStart = event("content_block_start", { index: 0, content_block });
  if (isEarly) yield opening(0) + event("ping", {});
  let isFirst = true;
  for await (const piece of completionPieces(completion)) {
    if (isFirst && !isEarly) yield opening(1);
    if (isFirst) yield blockStart;
    isFirst = false;
    const delta = toolCall
      ? { type: "input_json_delta", partial_json: piece }
      : { type: "text_delta", text: piece };
    yield event("content_block_delta", { index: 0, delta });
  }
  if (isFirst && !isEarly) yield opening(0);
  if (isFirst) yield blockStart;
  yield event("content_block_stop", { index: 0 });
  yield event("message_delta", {
    delta: stopOf(underWay),
    usage: {
      ...(isEarly && { input_tokens: completion.prompt.tokens }),
      output_tokens: saidTokens(completion),
    },
  });
  yield event("message_stop", {});
}
