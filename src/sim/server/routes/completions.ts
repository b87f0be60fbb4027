/** POST /v1/completions: one prompt or a list, streamed and not. */
import {
  type Answer,
  EngineRefusal,
  eventStream,
  jsonAnswer,
  SSE_DONE,
  sseEvent,
} from "../answer.ts";
import { booleanField, contentText, type JsonObject, listField, numberField } from "../body.ts";
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
import { type Transfer, transferOf } from "../transfer.ts";
import { choiceCount, wantsUsage } from "./chat.ts";

/** The prompts of a body: a string, a list of strings, token ids, or a list of those. */
function promptsOf(body: JsonObject): readonly string[] {
  const prompts = listField(body, "prompt");
  if (prompts.length === 0) throw new EngineRefusal(400, "The field 'prompt' is missing.");
  if (typeof prompts[0] === "number") return [prompts.join(" ")];
  return prompts.map((prompt) => (Array.isArray(prompt) ? prompt.join(" ") : contentText(prompt)));
}

export async function completions(engine: Engine, call: Call, body: JsonObject): Promise<Answer> {
  const model = requestedModel(engine, body);
  const transfer = await transferOf(engine, call, body);
  const prompts = promptsOf(body);
  const count = choiceCount(body);
  const choices = prompts.flatMap((prompt) =>
    Array.from({ length: count }, () => startCompletion(engine, call, body, prompt, { transfer })),
  );
  const envelope = {
    id: answerId(engine, body, choices[0]?.session ?? 0),
    object: "text_completion",
    created: createdAt(),
    model,
    system_fingerprint: engine.url,
  };
  const usage = usageOf(choices, prompts.length);
  if (booleanField(body, "stream")) {
    return eventStream(completionEvents(choices, transfer, envelope, wantsUsage(body) && usage));
  }
  const texts = await Promise.all(choices.map((completion) => completionText(completion)));
  const drawn = choices.map(({ finishReason }, index) => {
    return { index, text: texts[index], logprobs: null, finish_reason: finishReason };
  });
  return jsonAnswer({ ...envelope, choices: drawn, usage, ...(await transfer.finish(choices)) });
}

function answerId(engine: Engine, body: JsonObject, session: number): string {
  switch (engine.settings.prefillIds) {
    case "session":
      return String(session);
    case "minus-one":
      return String(numberField(body, "session_id") ?? -1);
    case "chatcmpl":
      return `cmpl-${session}`;
  }
}

async function* completionEvents(
  choices: readonly Completion[],
  transfer: Transfer,
  envelope: object,
  usage: object | false,
): AsyncGenerator<string, void> {
  for (const [index, completion] of choices.entries()) {
    let isFirst = index === 0;
    for await (const text of completionPieces(completion)) {
      if (isFirst) await transfer.finish(choices);
      isFirst = false;
      yield sseEvent({ ...envelope, choices: [{ index, text, finish_reason: null }] });
    }
    const finish_reason = completion.generation.isCancelled ? "abort" : completion.finishReason;
    yield sseEvent({ ...envelope, choices: [{ index, text: "", finish_reason }] });
  }
  if (usage) yield sseEvent({ ...envelope, choices: [], usage });
  yield SSE_DONE;
}
