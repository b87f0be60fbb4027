/** Anthropic's API: POST /v1/messages and /v1/messages/count_tokens, GET /anthropic/v1/models. */
import { type Answer, EngineRefusal, eventStream, jsonAnswer, sseEvent } from "../answer.ts";
import { booleanField, type JsonObject, listField } from "../body.ts";
import {
  type Completion,
  completionPieces,
  completionText,
  requestedModel,
  startCompletion,
} from "../completion.ts";
import type { Call, Engine } from "../engine.ts";
import { countTokens } from "../tokens.ts";
import { type ToolCall, toolCallFor } from "../tool-call.ts";
import { chatPrompt } from "./chat.ts";

interface MessageUnderWay {
  readonly completion: Completion;
  readonly toolCall: ToolCall | null;
  readonly head: object;
}

/** As LMDeploy does: a call without the version header is refused. */
function promptOfCall(call: Call, body: JsonObject): string {
  if (!call.headers.get("anthropic-version")) {
    throw new EngineRefusal(400, "Missing required header: anthropic-version");
  }
  const messages = listField(body, "messages");
  if (messages.length === 0) throw new EngineRefusal(400, "The field 'messages' is missing.");
  return chatPrompt([...listField(body, "system"), ...messages]);
}

export function countMessageTokens(engine: Engine, call: Call, body: JsonObject): Answer {
  requestedModel(engine, body);
  return jsonAnswer({ input_tokens: countTokens(promptOfCall(call, body)) });
}

export async function messages(engine: Engine, call: Call, body: JsonObject): Promise<Answer> {
  const model = requestedModel(engine, body);
  const text = promptOfCall(call, body);
  const toolCall = toolCallFor(body, listField(body, "messages"));
  const options = toolCall ? { pieces: toolCall.pieces } : {};
  const completion = startCompletion(engine, call, body, text, options);
  const head = { id: `msg_${completion.session}`, type: "message", role: "assistant", model };
  const underWay = { completion, toolCall, head };
  if (booleanField(body, "stream")) return eventStream(messageEvents(underWay));
  const answer = await completionText(completion);
  const content = toolCall
    ? { ...toolBlock(underWay, toolCall), input: JSON.parse(answer) }
    : { type: "text", text: answer };
  return jsonAnswer({
    ...head,
    content: [content],
    stop_reason: stopReason(underWay),
    stop_sequence: null,
    usage: { input_tokens: completion.prompt.tokens, output_tokens: completion.answerTokens },
  });
}

export function anthropicModels(engine: Engine): Answer {
  const created_at = new Date().toISOString();
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

function stopReason({ completion, toolCall }: MessageUnderWay): string {
  if (completion.finishReason === "length") return "max_tokens";
  return toolCall ? "tool_use" : "end_turn";
}

async function* messageEvents(underWay: MessageUnderWay): AsyncGenerator<string, void> {
  const { completion, toolCall, head } = underWay;
  const event = (type: string, fields: object) => sseEvent({ type, ...fields }, type);
  const usage = { input_tokens: 0, output_tokens: 0 };
  const message = { ...head, content: [], stop_reason: null, stop_sequence: null, usage };
  yield event("message_start", { message });
  const content_block = toolCall
    ? { ...toolBlock(underWay, toolCall), input: {} }
    : { type: "text", text: "" };
  yield event("content_block_start", { index: 0, content_block });
  for await (const piece of completionPieces(completion)) {
    const delta = toolCall
      ? { type: "input_json_delta", partial_json: piece }
      : { type: "text_delta", text: piece };
    yield event("content_block_delta", { index: 0, delta });
  }
  if (completion.generation.isCancelled) return;
  yield event("content_block_stop", { index: 0 });
  yield event("message_delta", {
    delta: { stop_reason: stopReason(underWay), stop_sequence: null },
    usage: { input_tokens: completion.prompt.tokens, output_tokens: completion.answerTokens },
  });
  yield event("message_stop", {});
}
