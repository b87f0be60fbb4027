/** POST /v1/responses (OpenAI Responses), streamed with named events and not. */
import { type Answer, EngineRefusal, eventStream, jsonAnswer, namedEvent } from "../answer.ts";
import { booleanField, checkFields, type JsonObject, listField, stringField } from "../body.ts";
import type { Call } from "../call.ts";
import {
  type Completion,
  completionPieces,
  completionText,
  createdAt,
  finishOf,
  requestedModel,
  saidTokens,
  shortId,
  startCompletion,
} from "../completion.ts";
import type { Engine } from "../engine.ts";
import { checkSampling } from "../sampling.ts";
import { structuredPieces } from "../structured.ts";
import { type ToolCall, toolCallFor } from "../tool-call.ts";
import { chatPrompt } from "./chat.ts";
import { ofKind, RESPONSES } from "./fields.ts";

interface ResponseUnderWay {
  readonly completion: Completion;
  readonly toolCall: ToolCall | null;
  readonly head: object;
  readonly itemId: string;
}

/** What LMDeploy's Responses cannot do, by field. */
const UNSUPPORTED = ["context_management", "conversation", "previous_response_id", "prompt"];

function check(engine: Engine, body: JsonObject): void {
  if (engine.settings.kind === "lmdeploy") {
    if (booleanField(body, "background")) {
      const message = "background mode is not supported by Responses Text V1.";
      throw new EngineRefusal(400, message, "background");
    }
    const name = UNSUPPORTED.find((one) => body[one] !== undefined && body[one] !== null);
    if (name !== undefined) {
      throw new EngineRefusal(400, `${name} is not supported by Responses Text V1.`, name);
    }
  }
  if (body.input === undefined || body.input === null) {
    throw new EngineRefusal(400, "input is required by Responses Text V1.", "input");
  }
  if (listField(body, "input").length === 0) {
    throw new EngineRefusal(400, "input must not be an empty list.", "input");
  }
  checkSampling(body);
}

export async function responses(engine: Engine, call: Call, body: JsonObject): Promise<Answer> {
  checkFields(body, ofKind(engine.settings.kind, RESPONSES));
  check(engine, body);
  const model = requestedModel(engine, body, "model");
  const input = listField(body, "input");
  const toolCall = toolCallFor(body, input);
  const text = chatPrompt([...listField(body, "instructions"), ...input]);
  const pieces = toolCall?.pieces ?? structuredPieces(body);
  const completion = startCompletion(engine, call, body, text, { model, pieces });
  const head = headOf(body, model);
  const itemId = `${toolCall ? "call" : "msg"}_${shortId()}`;
  const underWay = { completion, toolCall, head, itemId };
  if (booleanField(body, "stream")) return eventStream(responseEvents(underWay));
  const answer = await completionText(completion);
  return jsonAnswer(finished(underWay, [outputItem(underWay, answer)], answer));
}

/** What LMDeploy repeats of the request; what is null is left out. */
function headOf(body: JsonObject, model: string): object {
  const head = {
    id: `resp_${shortId()}`,
    created_at: createdAt(),
    instructions: stringField(body, "instructions"),
    metadata: body.metadata ?? undefined,
    model,
    object: "response",
    parallel_tool_calls: body.parallel_tool_calls ?? true,
    temperature: body.temperature ?? undefined,
    tool_choice: body.tool_choice ?? "auto",
    tools: listField(body, "tools"),
    top_p: body.top_p ?? undefined,
    background: false,
    max_output_tokens: body.max_output_tokens ?? undefined,
    service_tier: "auto",
    text: body.text ?? undefined,
    truncation: "disabled",
    store: false,
  };
  return Object.fromEntries(Object.entries(head).filter(([, value]) => value !== undefined));
}

function outputItem({ completion, toolCall, itemId: id }: ResponseUnderWay, text: string) {
  if (toolCall) {
    const { name } = toolCall;
    return { id, type: "function_call", call_id: id, name, arguments: text, status: "completed" };
  }
  const status = finishOf(completion) === "length" ? "incomplete" : "completed";
  const content = [{ annotations: [], text, type: "output_text" }];
  return { id, content, role: "assistant", status, type: "message" };
}

function finished(
  { completion, head }: ResponseUnderWay,
  output: readonly object[],
  output_text: string,
  error?: EngineRefusal,
): object {
  const isCut = finishOf(completion) === "length";
  const isAborted = finishOf(completion) === "abort";
  const message = isAborted ? "Response generation was cancelled." : error?.message;
  const input_tokens = error ? 0 : completion.prompt.tokens;
  const output_tokens = error ? 0 : saidTokens(completion);
  return {
    ...head,
    ...(message !== undefined && { error: { code: "server_error", message } }),
    ...(isCut && { incomplete_details: { reason: "max_output_tokens" } }),
    status: error ? "failed" : isAborted ? "cancelled" : isCut ? "incomplete" : "completed",
    output,
    output_text,
    usage: {
      input_tokens,
      input_tokens_details: { cached_tokens: 0 },
      output_tokens,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: input_tokens + output_tokens,
    },
  };
}

/** Begins before the prefill; an engine that fails ends it with `response.failed`, as if it were whole. */
async function* responseEvents(underWay: ResponseUnderWay): AsyncGenerator<string, void> {
  const { completion, toolCall, head, itemId: item_id } = underWay;
  let sequence_number = 0;
  const event = (type: string, fields: object) => {
    const text = namedEvent(type, { type, sequence_number, ...fields });
    sequence_number += 1;
    return text;
  };
  const initial = { ...head, output: [], output_text: "", status: "in_progress" };
  yield event("response.created", { response: initial });
  yield event("response.in_progress", { response: initial });
  const place = { item_id, output_index: 0 };
  const textPlace = { ...place, content_index: 0 };
  const item = { ...outputItem(underWay, ""), ...(!toolCall && { content: [] }) };
  const emptyPart = { type: "output_text", text: "", annotations: [] };
  const start = () => {
    const added = { output_index: 0, item: { ...item, status: "in_progress" } };
    const first = event("response.output_item.added", added);
    if (toolCall) return first;
    return first + event("response.content_part.added", { ...textPlace, part: emptyPart });
  };
  let text = "";
  let isBegun = false;
  let failure: EngineRefusal | undefined;
  try {
    for await (const delta of completionPieces(completion)) {
      if (!isBegun) yield start();
      isBegun = true;
      text += delta;
      if (toolCall) yield event("response.function_call_arguments.delta", { ...place, delta });
      else yield event("response.output_text.delta", { ...textPlace, delta, logprobs: [] });
    }
  } catch (error) {
    if (!(error instanceof EngineRefusal)) throw error;
    failure = error;
  }
  if (!isBegun) yield start();
  if (toolCall) {
    const call = { ...place, name: toolCall.name, arguments: text };
    yield event("response.function_call_arguments.done", call);
  } else {
    yield event("response.output_text.done", { ...textPlace, text, logprobs: [] });
    yield event("response.content_part.done", { ...textPlace, part: { ...emptyPart, text } });
  }
  const whole = outputItem(underWay, text);
  yield event("response.output_item.done", { output_index: 0, item: whole });
  const response = finished(underWay, [whole], text, failure);
  yield event(lastEvent(underWay, failure), { response });
}

function lastEvent({ completion }: ResponseUnderWay, failure: EngineRefusal | undefined): string {
  const reason = finishOf(completion);
  if (failure || reason === "abort") return "response.failed";
  return reason === "length" ? "response.incomplete" : "response.completed";
}
