/** POST /v1/chat/completions, streamed and not, with tools and several choices. */
import {
  type Answer,
  EngineRefusal,
  eventStream,
  jsonAnswer,
  SSE_DONE,
  sseEvent,
} from "../answer.ts";
import {
  booleanField,
  contentText,
  isObject,
  type JsonObject,
  listField,
  numberField,
} from "../body.ts";
import {
  type Completion,
  completionPieces,
  completionText,
  createdAt,
  requestedModel,
  startCompletion,
  usageOf,
} from "../completion.ts";
import type { Call, Engine } from "../engine.ts";
import { type ToolCall, toolCallFor } from "../tool-call.ts";
import { type Transfer, transferOf } from "../transfer.ts";

/** The prompt that a list of messages (or LMDeploy's plain string) makes. */
export function chatPrompt(messages: readonly unknown[]): string {
  return messages
    .map((message) => {
      if (!isObject(message)) return contentText(message);
      return `<|${contentText(message.role)}|>${contentText(message.content)}`;
    })
    .join("\n");
}

/** How many choices a body asks for. Throws `EngineRefusal` for less than 1. */
export function choiceCount(body: JsonObject): number {
  const n = numberField(body, "n") ?? 1;
  if (n < 1 || !Number.isInteger(n)) {
    throw new EngineRefusal(400, `The n ${n} must be a positive int.`);
  }
  return n;
}

export function wantsUsage(body: JsonObject): boolean {
  return isObject(body.stream_options) && booleanField(body.stream_options, "include_usage");
}

interface ChatAnswer {
  readonly choices: readonly Completion[];
  readonly toolCall: ToolCall | null;
  readonly envelope: object;
}

export async function chatCompletions(
  engine: Engine,
  call: Call,
  body: JsonObject,
): Promise<Answer> {
  const model = requestedModel(engine, body);
  const transfer = await transferOf(engine, call, body);
  const messages = listField(body, "messages");
  const inputIds = listField(body, "input_ids");
  if (messages.length === 0 && inputIds.length === 0) {
    throw new EngineRefusal(400, "The field 'messages' must not be empty.");
  }
  const toolCall = toolCallFor(body, messages);
  const text = messages.length === 0 ? inputIds.join(" ") : chatPrompt(messages);
  const options = { ...(toolCall && { pieces: toolCall.pieces }), transfer };
  const choices = Array.from({ length: choiceCount(body) }, () =>
    startCompletion(engine, call, body, text, options),
  );
  const session = choices[0]?.session ?? 0;
  const id = engine.settings.prefillIds === "session" ? String(session) : `chatcmpl-${session}`;
  const envelope = { id, created: createdAt(), model, system_fingerprint: engine.url };
  const answer = { choices, toolCall, envelope };
  if (booleanField(body, "stream")) {
    return eventStream(chatEvents(answer, transfer, wantsUsage(body)));
  }
  return jsonAnswer(await wholeAnswer(answer, transfer));
}

async function wholeAnswer(answer: ChatAnswer, transfer: Transfer): Promise<object> {
  const { choices, toolCall, envelope } = answer;
  const drawn = choices.map(async (completion, index) => {
    const text = await completionText(completion);
    const message = toolCall
      ? { content: null, tool_calls: [wholeToolCall(completion, toolCall, text)] }
      : { content: text };
    return {
      index,
      message: { role: "assistant", ...message },
      logprobs: null,
      finish_reason: finishReason(completion, toolCall),
    };
  });
  const drawnChoices = await Promise.all(drawn);
  return {
    ...envelope,
    object: "chat.completion",
    choices: drawnChoices,
    usage: usageOf(choices, 1),
    ...(await transfer.finish(choices)),
  };
}

function wholeToolCall(completion: Completion, toolCall: ToolCall, text: string): object {
  const name = toolCall.name;
  return { id: toolCallId(completion), type: "function", function: { name, arguments: text } };
}

function toolCallId(completion: Completion): string {
  return `call_${completion.session}`;
}

function finishReason(completion: Completion, toolCall: ToolCall | null): string {
  if (completion.generation.isCancelled) return "abort";
  return toolCall && completion.finishReason === "stop" ? "tool_calls" : completion.finishReason;
}

async function* chatEvents(
  answer: ChatAnswer,
  transfer: Transfer,
  withUsage: boolean,
): AsyncGenerator<string, void> {
  const { choices, toolCall, envelope } = answer;
  const head = { ...envelope, object: "chat.completion.chunk" };
  for (const [index, completion] of choices.entries()) {
    const event = (delta: object, finish_reason: string | null) =>
      sseEvent({ ...head, choices: [{ index, delta, finish_reason }] });
    let isFirst = true;
    for await (const piece of completionPieces(completion)) {
      if (isFirst && index === 0) await transfer.finish(choices);
      if (isFirst && toolCall) yield event(toolCallHead(completion, toolCall), null);
      const delta = toolCall
        ? { tool_calls: [{ index: 0, function: { arguments: piece } }] }
        : { ...(isFirst && { role: "assistant" }), content: piece };
      isFirst = false;
      yield event(delta, null);
    }
    yield event({}, finishReason(completion, toolCall));
  }
  if (withUsage) yield sseEvent({ ...head, choices: [], usage: usageOf(choices, 1) });
  yield SSE_DONE;
}

function toolCallHead(completion: Completion, toolCall: ToolCall): object {
  const head = { name: toolCall.name, arguments: "" };
  const id = toolCallId(completion);
  return {
    role: "assistant",
    content: null,
    tool_calls: [{ index: 0, id, type: "function", function: head }],
  };
}
