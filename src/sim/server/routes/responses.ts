/** POST /v1/responses (OpenAI Responses), streamed with named events and not. */
import { type Answer, EngineRefusal, eventStream, jsonAnswer, sseEvent } from "../answer.ts";
import { booleanField, isObject, type JsonObject, listField } from "../body.ts";
import {
  type Completion,
  completionPieces,
  completionText,
  createdAt,
  requestedModel,
  startCompletion,
} from "../completion.ts";
import type { Call, Engine } from "../engine.ts";
import { type ToolCall, toolCallFor } from "../tool-call.ts";
import { chatPrompt } from "./chat.ts";

interface ResponseUnderWay {
  readonly completion: Completion;
  readonly toolCall: ToolCall | null;
  readonly head: object;
}

export async function responses(engine: Engine, call: Call, body: JsonObject): Promise<Answer> {
  const model = requestedModel(engine, body);
  const input = listField(body, "input");
  if (input.length === 0) throw new EngineRefusal(400, "The field 'input' is missing.");
  const toolCall = toolCallFor(body, input);
  const text = chatPrompt([...listField(body, "instructions"), ...input]);
  const options = toolCall ? { pieces: toolCall.pieces } : {};
  const completion = startCompletion(engine, call, body, text, options);
  const head = {
    id: `resp_${completion.session}`,
    object: "response",
    created_at: createdAt(),
    model,
    error: null,
    instructions: body.instructions ?? null,
    metadata: isObject(body.metadata) ? body.metadata : {},
    parallel_tool_calls: true,
    temperature: body.temperature ?? null,
    tool_choice: body.tool_choice ?? "auto",
    tools: listField(body, "tools"),
    top_p: body.top_p ?? null,
  };
  const underWay = { completion, toolCall, head };
  if (booleanField(body, "stream")) return eventStream(responseEvents(underWay));
  const answer = await completionText(completion);
  return jsonAnswer(finished(underWay, [outputItem(underWay, answer)]));
}

function outputItem({ completion, toolCall }: ResponseUnderWay, text: string): JsonObject {
  if (toolCall) {
    const id = `call_${completion.session}`;
    const { name } = toolCall;
    return { id, type: "function_call", call_id: id, name, arguments: text, status: "completed" };
  }
  return {
    id: `msg_${completion.session}`,
    type: "message",
    role: "assistant",
    status: "completed",
    content: [{ type: "output_text", text, annotations: [] }],
  };
}

function finished({ completion, head }: ResponseUnderWay, output: readonly object[]): object {
  const isCut = completion.finishReason === "length";
  const { prompt, answerTokens } = completion;
  return {
    ...head,
    status: isCut ? "incomplete" : "completed",
    incomplete_details: isCut ? { reason: "max_output_tokens" } : null,
    output,
    usage: {
      input_tokens: prompt.tokens,
      input_tokens_details: { cached_tokens: 0 },
      output_tokens: answerTokens,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: prompt.tokens + answerTokens,
    },
  };
}

async function* responseEvents(underWay: ResponseUnderWay): AsyncGenerator<string, void> {
  const { completion, toolCall, head } = underWay;
  let sequence_number = 0;
  const event = (type: string, fields: object) => {
    const text = sseEvent({ type, sequence_number, ...fields }, type);
    sequence_number += 1;
    return text;
  };
  const initial = { ...head, status: "in_progress", incomplete_details: null, output: [] };
  yield event("response.created", { response: initial });
  yield event("response.in_progress", { response: initial });
  const item = outputItem(underWay, "");
  const place = { item_id: item.id, output_index: 0 };
  const textPlace = { ...place, content_index: 0 };
  const begun = { ...item, ...(!toolCall && { content: [] }), status: "in_progress" };
  yield event("response.output_item.added", { output_index: 0, item: begun });
  const emptyPart = { type: "output_text", text: "", annotations: [] };
  if (!toolCall) yield event("response.content_part.added", { ...textPlace, part: emptyPart });
  let text = "";
  for await (const delta of completionPieces(completion)) {
    text += delta;
    if (toolCall) yield event("response.function_call_arguments.delta", { ...place, delta });
    else yield event("response.output_text.delta", { ...textPlace, delta, logprobs: [] });
  }
  if (completion.generation.isCancelled) return;
  if (toolCall) {
    const call = { ...place, name: toolCall.name, arguments: text };
    yield event("response.function_call_arguments.done", call);
  } else {
    yield event("response.output_text.done", { ...textPlace, text, logprobs: [] });
    yield event("response.content_part.done", { ...textPlace, part: { ...emptyPart, text } });
  }
  const whole = outputItem(underWay, text);
  yield event("response.output_item.done", { output_index: 0, item: whole });
  const isCut = completion.finishReason === "length";
  const last = isCut ? "response.incomplete" : "response.completed";
  yield event(last, { response: finished(underWay, [whole]) });
}
