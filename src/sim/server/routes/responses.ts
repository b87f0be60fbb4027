/** POST /v1/responses (OpenAI Responses), streamed with named events and not. */

import { isObject, type JsonObject } from "../../../core/json-object.ts";
import { type Answer, EngineRefusal, eventStream, jsonAnswer, namedEvent } from "../answer.ts";
import { booleanField, checkFields, listField } from "../body.ts";
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
import type { KeptResponses } from "../kept-responses.ts";
import { checkSampling } from "../sampling.ts";
import { structuredPieces } from "../structured.ts";
import { type ToolCall, toolCallFor } from "../tool-call.ts";
import { chatPrompt } from "./chat.ts";
import { ofKind, RESPONSES } from "./fields.ts";
import { unknownResponse } from "./kept-responses.ts";

interface ResponseUnderWay {
  readonly completion: Completion;
  readonly toolCall: ToolCall | null;
  readonly body: JsonObject;
  readonly model: string;
  readonly id: string;
  readonly created_at: number;
  readonly itemId: string;
  /** What it is made from, the responses before it included. */
  readonly input: readonly unknown[];
  /** Null when it is not kept. */
  readonly keeper: KeptResponses | null;
}

/** What was said before, in the response that this one goes on from. */
function before({ kept }: Engine, { previous_response_id: id }: JsonObject): readonly unknown[] {
  if (kept === null || typeof id !== "string") return [];
  const found = kept.get(id);
  if (found === null) throw unknownResponse(id);
  return [...found.input, ...found.output];
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
  if (engine.settings.kind === "lmdeploy") checkAsLmdeploy(body);
  else checkSampling(body);
}

const UNIT_RANGE = ["top_p", "min_p"];
const ITEM_TYPES = ["message", "function_call", "function_call_output"];

/** What its Responses say in other words than its other endpoints do, or have to themselves. */
function checkAsLmdeploy(body: JsonObject): void {
  const { temperature } = body;
  if (typeof temperature === "number" && (temperature < 0 || temperature > 2)) {
    throw new EngineRefusal(400, "temperature must be in [0, 2].", "temperature");
  }
  for (const name of UNIT_RANGE) {
    const value = body[name];
    if (typeof value !== "number" || (value >= 0 && value <= 1)) continue;
    throw new EngineRefusal(400, `${name} must be in [0, 1].`, name);
  }
  for (const item of listField(body, "input")) {
    const type = isObject(item) ? (item.type ?? "message") : "message";
    if (ITEM_TYPES.includes(String(type))) continue;
    throw new EngineRefusal(400, `Unsupported Responses input item type: '${type}'.`, "input");
  }
}

export async function responses(engine: Engine, call: Call, body: JsonObject): Promise<Answer> {
  checkFields(body, ofKind(engine.settings.kind, RESPONSES));
  check(engine, body);
  const model = requestedModel(engine, body, "model");
  const said = listField(body, "input");
  const input = [...before(engine, body), ...said];
  const toolCall = toolCallFor(body, said);
  const text = chatPrompt([...listField(body, "instructions"), ...input]);
  const pieces = toolCall?.pieces ?? structuredPieces(body);
  const completion = startCompletion(engine, call, body, text, { model, pieces });
  const ids = { id: `resp_${shortId()}`, itemId: `${toolCall ? "call" : "msg"}_${shortId()}` };
  const keeper = body.store === false ? null : engine.kept;
  const made = { completion, toolCall, body, model, created_at: createdAt(), ...ids };
  const underWay = { ...made, input, keeper };
  if (booleanField(body, "stream")) return eventStream(responseEvents(underWay));
  const answer = await completionText(completion);
  return jsonAnswer(finished(underWay, [outputItem(underWay, answer)], answer));
}

/** What of a response changes while it is made. */
interface Progress {
  readonly status: string;
  readonly output: readonly object[];
  readonly output_text: string;
  readonly error?: object;
  readonly incomplete_details?: object;
  readonly usage?: object;
}

/** The response in the order of LMDeploy's fields, with what it repeats of the request; what is null is left out. */
function drawn(
  { body, model, id, created_at, keeper }: ResponseUnderWay,
  progress: Progress,
): object {
  const { status, output, output_text, error, incomplete_details, usage } = progress;
  const fields = {
    id,
    created_at,
    error,
    incomplete_details,
    instructions: body.instructions,
    metadata: body.metadata,
    model,
    object: "response",
    output,
    previous_response_id: body.previous_response_id,
    parallel_tool_calls: body.parallel_tool_calls ?? true,
    temperature: body.temperature,
    tool_choice: body.tool_choice ?? "auto",
    tools: listField(body, "tools"),
    top_p: body.top_p,
    background: false,
    max_output_tokens: body.max_output_tokens,
    output_text,
    service_tier: body.service_tier ?? "auto",
    status,
    text: body.text,
    truncation: "disabled",
    usage,
    user: body.user,
    store: keeper !== null,
  };
  const isThere = ([, value]: [string, unknown]) => value !== undefined && value !== null;
  return Object.fromEntries(Object.entries(fields).filter(isThere));
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

const EMPTY_PART = { type: "output_text", text: "", annotations: [] };

/** The item that the answer will be, as it is when it begins. */
function emptyItem(underWay: ResponseUnderWay): object {
  if (underWay.toolCall) return outputItem(underWay, "");
  const id = underWay.itemId;
  return { id, type: "message", role: "assistant", status: "in_progress", content: [] };
}

function finished(
  underWay: ResponseUnderWay,
  output: readonly object[],
  output_text: string,
  failure?: EngineRefusal,
): object {
  const { completion } = underWay;
  const reason = finishOf(completion);
  const isAborted = reason === "abort";
  const message = isAborted ? "Response generation was cancelled." : failure?.message;
  const input_tokens = failure ? 0 : completion.prompt.tokens;
  const output_tokens = failure ? 0 : saidTokens(completion);
  const response = drawn(underWay, {
    status: failure ? "failed" : (STATUSES[reason] ?? "completed"),
    output,
    output_text,
    ...(message !== undefined && { error: { code: "server_error", message } }),
    ...(reason === "length" && { incomplete_details: { reason: "max_output_tokens" } }),
    usage: {
      input_tokens,
      input_tokens_details: {
        cache_write_tokens: 0,
        cached_tokens: 0,
        input_tokens_per_turn: [],
        cached_tokens_per_turn: [],
      },
      output_tokens,
      output_tokens_details: {
        reasoning_tokens: 0,
        tool_output_tokens: 0,
        output_tokens_per_turn: [],
        tool_output_tokens_per_turn: [],
      },
      total_tokens: input_tokens + output_tokens,
    },
  });
  const { keeper, id, input } = underWay;
  keeper?.keep(id, { response, input, output });
  return response;
}

const STATUSES: Readonly<Record<string, string>> = {
  length: "incomplete",
  abort: "cancelled",
  error: "failed",
};

/** Begins before the prefill; an engine that fails ends it with `response.failed`, as if it were whole. */
async function* responseEvents(underWay: ResponseUnderWay): AsyncGenerator<string, void> {
  const { completion, toolCall, itemId: item_id, id: response_id } = underWay;
  let sequence_number = 0;
  const event = (type: string, fields: object) => {
    const text = namedEvent(type, { type, sequence_number, ...fields });
    sequence_number += 1;
    return text;
  };
  const response = drawn(underWay, { status: "in_progress", output: [], output_text: "" });
  yield event("response.created", { response });
  yield event("response.in_progress", { response });
  const place = { response_id, item_id, output_index: 0 };
  const textPlace = { ...place, content_index: 0 };
  const start = () => {
    const item = { ...emptyItem(underWay), status: "in_progress" };
    const added = { response_id, output_index: 0, item };
    const first = event("response.output_item.added", added);
    if (toolCall) return first;
    const partPlace = { response_id, output_index: 0, item_id, content_index: 0 };
    return first + event("response.content_part.added", { ...partPlace, part: EMPTY_PART });
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
      else yield event("response.output_text.delta", { ...textPlace, delta });
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
    yield event("response.output_text.done", { ...textPlace, text });
    yield event("response.content_part.done", { ...textPlace, part: { ...EMPTY_PART, text } });
  }
  const whole = outputItem(underWay, text);
  yield event("response.output_item.done", { response_id, output_index: 0, item: whole });
  const last = finished(underWay, [whole], text, failure);
  yield event(lastEvent(underWay, failure), { response: last });
}

function lastEvent({ completion }: ResponseUnderWay, failure: EngineRefusal | undefined): string {
  const reason = finishOf(completion);
  if (failure || reason === "abort") return "response.failed";
  return reason === "length" ? "response.incomplete" : "response.completed";
}
