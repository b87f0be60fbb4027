/** POST /v1/chat/completions: what is refused and what is begun; `chat-events.ts` and here, what is said. */

import { isObject, type JsonObject } from "../../../core/json-object.ts";
import { type Answer, EngineRefusal, eventStream, jsonAnswer } from "../answer.ts";
import { booleanField, checkFields, contentText, listField, numberField } from "../body.ts";
import type { Call } from "../call.ts";
import {
  type Completion,
  cachedTokens,
  createdAt,
  requestedModel,
  shortId,
  startCompletion,
  usageOf,
  wholePieces,
} from "../completion.ts";
import type { Engine } from "../engine.ts";
import { tokenLogprobs } from "../logprobs.ts";
import { checkSampling } from "../sampling.ts";
import { withFailure } from "../stream-errors.ts";
import { structuredPieces } from "../structured.ts";
import { tokenId } from "../tokens.ts";
import { toolCallFor } from "../tool-call.ts";
import { transferOf } from "../transfer.ts";
import {
  type ChatAnswer,
  chatFinish,
  lmdeployEvents,
  logprobsOf,
  otherEvents,
  toolCallId,
} from "./chat-events.ts";
import { CHAT, CHAT_WITH_PLAIN_MESSAGES, ofKind } from "./fields.ts";

const MAX_CHOICES = 128;

/** The prompt that a list of messages (or LMDeploy's plain string) makes. */
export function chatPrompt(messages: readonly unknown[]): string {
  return messages
    .map((message) => {
      if (!isObject(message)) return contentText(message);
      return `<|${contentText(message.role)}|>${contentText(message.content)}`;
    })
    .join("\n");
}

/** How many choices a body asks for. Throws `EngineRefusal` for less than 1, or too many. */
export function choiceCount(body: JsonObject): number {
  const n = numberField(body, "n") ?? 1;
  if (n < 1) throw new EngineRefusal(400, `The n ${n} must be a positive int.`);
  if (n > MAX_CHOICES) {
    throw new EngineRefusal(
      400,
      `The n ${n} exceeds the maximum supported choices (${MAX_CHOICES}).`,
    );
  }
  return n;
}

export function wantsUsage(body: JsonObject): boolean {
  return isObject(body.stream_options) && booleanField(body.stream_options, "include_usage");
}

/** The number that the client gave its request; only LMDeploy has such a thing. */
export function chosenSessionOf({ settings }: Engine, body: JsonObject): number | undefined {
  return settings.kind === "lmdeploy" ? numberField(body, "session_id") : undefined;
}

/** Throws `EngineRefusal` when a client's number is that of a request under way. */
export function refuseOccupied(engine: Engine, chosen: number | undefined): void {
  if (engine.settings.kind === "lmdeploy" && engine.sessions.isOccupied(chosen)) {
    throw new EngineRefusal(400, `The session_id ${chosen} is occupied.`);
  }
}

/** As LMDeploy's `check_request`. */
function check(engine: Engine, body: JsonObject, chosenSession: number | undefined): number {
  refuseOccupied(engine, chosenSession);
  const count = choiceCount(body);
  if (count > 1 && chosenSession !== undefined && chosenSession !== -1) {
    throw new EngineRefusal(400, "n > 1 cannot be used with an explicit session_id.");
  }
  checkSampling(body);
  const hasMessages = listField(body, "messages").length > 0;
  const hasIds = listField(body, "input_ids").length > 0;
  if (!hasMessages && !hasIds) {
    throw new EngineRefusal(400, "messages must not be empty unless input_ids is set.");
  }
  if (hasMessages && hasIds) {
    const why = "messages takes priority.";
    throw new EngineRefusal(400, `input_ids cannot be used when messages is non-empty. ${why}`);
  }
  return count;
}

export async function chatCompletions(
  engine: Engine,
  call: Call,
  body: JsonObject,
): Promise<Answer> {
  const { settings } = engine;
  const fields = settings.traits.takesPlainMessages ? CHAT_WITH_PLAIN_MESSAGES : CHAT;
  checkFields(body, ofKind(settings.kind, fields));
  const model = requestedModel(engine, body);
  const chosenSession = chosenSessionOf(engine, body);
  const count = check(engine, body, chosenSession);
  const transfer = await transferOf(engine, call, body, count);
  const messages = listField(body, "messages");
  const toolCall = toolCallFor(body, messages);
  const text =
    messages.length === 0 ? listField(body, "input_ids").join(" ") : chatPrompt(messages);
  const pieces = toolCall?.pieces ?? structuredPieces(body);
  const choices = Array.from({ length: count }, () =>
    startCompletion(engine, call, body, text, { model, pieces, transfer, chosenSession }),
  );
  const envelope = { id: answerId(engine, choices), object: "", created: createdAt(), model };
  const answer = { body, choices, toolCall, envelope, transfer, withUsage: wantsUsage(body) };
  if (!booleanField(body, "stream")) return jsonAnswer(await wholeAnswer(engine, answer));
  const events =
    settings.kind === "lmdeploy" ? lmdeployEvents(answer) : otherEvents(answer, settings.kind);
  return eventStream(withFailure(settings, events));
}

function answerId({ settings }: Engine, choices: readonly Completion[]): string {
  const { prefillIds } = settings.traits;
  const isNumber = prefillIds === "session" || prefillIds === "chat-only";
  if (settings.kind === "lmdeploy" && isNumber) return String(choices[0]?.session ?? 0);
  return `chatcmpl-${shortId()}`;
}

async function wholeAnswer(engine: Engine, answer: ChatAnswer): Promise<object> {
  const { choices, envelope, transfer } = answer;
  const isLmdeploy = engine.settings.kind === "lmdeploy";
  const drawn = await Promise.all(
    choices.map(async (completion, index) => {
      const pieces = await wholePieces(completion);
      return isLmdeploy
        ? lmdeployChoice(answer, completion, index, pieces)
        : otherChoice(answer, completion, index, pieces);
    }),
  );
  const details = { prompt_tokens_details: cachedTokens(choices), completion_tokens_details: null };
  return {
    ...envelope,
    object: "chat.completion",
    choices: drawn,
    usage: { ...usageOf(choices, 1), ...details },
    service_tier: null,
    ...(await transfer.finish(choices)),
  };
}

function lmdeployChoice(
  answer: ChatAnswer,
  completion: Completion,
  index: number,
  pieces: readonly string[],
): object {
  const { body } = answer;
  const { content, tool_calls } = messageOf(answer, completion, pieces);
  return {
    index,
    message: { role: "assistant", content, reasoning_content: null, tool_calls },
    logprobs: logprobsOf(body, pieces),
    output_token_logprobs: booleanField(body, "return_logprob") ? tokenLogprobs(pieces) : null,
    finish_reason: chatFinish(completion, answer.toolCall),
    output_ids: booleanField(body, "return_token_ids") ? pieces.map(tokenId) : null,
    routed_experts: null,
  };
}

function otherChoice(
  answer: ChatAnswer,
  completion: Completion,
  index: number,
  pieces: readonly string[],
): object {
  const { body } = answer;
  const { content, tool_calls } = messageOf(answer, completion, pieces);
  return {
    index,
    message: { role: "assistant", content, ...(tool_calls && { tool_calls }) },
    logprobs: logprobsOf(body, pieces),
    finish_reason: chatFinish(completion, answer.toolCall),
    stop_reason: completion.stopWord,
    ...(booleanField(body, "return_token_ids") && { token_ids: pieces.map(tokenId) }),
  };
}

function messageOf({ toolCall }: ChatAnswer, completion: Completion, pieces: readonly string[]) {
  const text = pieces.join("");
  if (toolCall === null) return { content: text, tool_calls: null };
  const called = { name: toolCall.name, arguments: text };
  const one = { id: toolCallId(completion), type: "function", function: called };
  return { content: null, tool_calls: [one] };
}
