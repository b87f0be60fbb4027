/** POST /v1/chat/completions, streamed and not. */
import { type Answer, eventStream, jsonAnswer, SSE_DONE, sseEvent } from "../answer.ts";
import { booleanField, contentText, isObject, type JsonObject, listField } from "../body.ts";
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

/** The prompt that a list of messages (or LMDeploy's plain string) makes. */
export function chatPrompt(body: JsonObject): string {
  return listField(body, "messages")
    .map((message) => {
      if (!isObject(message)) return contentText(message);
      return `<|${contentText(message.role)}|>${contentText(message.content)}`;
    })
    .join("\n");
}

export async function chatCompletions(
  engine: Engine,
  call: Call,
  body: JsonObject,
): Promise<Answer> {
  const model = requestedModel(engine, body);
  const completion = startCompletion(engine, call, body, chatPrompt(body));
  const envelope = {
    id: `chatcmpl-${completion.session}`,
    created: createdAt(),
    model,
    system_fingerprint: engine.url,
  };
  if (booleanField(body, "stream")) {
    return eventStream(chatEvents(completion, envelope, wantsUsage(body)));
  }
  const content = await completionText(completion);
  return jsonAnswer({
    ...envelope,
    object: "chat.completion",
    choices: [
      {
        index: 0,
        message: { role: "assistant", content },
        logprobs: null,
        finish_reason: completion.finishReason,
      },
    ],
    usage: usageOf([completion]),
  });
}

export function wantsUsage(body: JsonObject): boolean {
  return isObject(body.stream_options) && booleanField(body.stream_options, "include_usage");
}

async function* chatEvents(
  completion: Completion,
  envelope: object,
  withUsage: boolean,
): AsyncGenerator<string, void> {
  const head = { ...envelope, object: "chat.completion.chunk" };
  const event = (delta: object, finish_reason: string | null) =>
    sseEvent({ ...head, choices: [{ index: 0, delta, finish_reason }] });
  let role: object = { role: "assistant" };
  for await (const content of completionPieces(completion)) {
    yield event({ ...role, content }, null);
    role = {};
  }
  yield event({}, completion.finishReason);
  if (withUsage) yield sseEvent({ ...head, choices: [], usage: usageOf([completion]) });
  yield SSE_DONE;
}
