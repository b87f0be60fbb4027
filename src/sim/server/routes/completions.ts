/** POST /v1/completions: one prompt or a list, streamed and not. */
import type { EngineKind } from "../../../core/engine/kinds.ts";
import type { JsonObject } from "../../../core/json-object.ts";
import {
  type Answer,
  asciiEvent,
  EngineRefusal,
  eventStream,
  jsonAnswer,
  SSE_DONE,
  sseEvent,
} from "../answer.ts";
import { booleanField, checkFields, contentText, listField, numberField } from "../body.ts";
import type { Call } from "../call.ts";
import {
  type Completion,
  completionPieces,
  createdAt,
  finishOf,
  requestedModel,
  shortId,
  startCompletion,
  usageOf,
  wholePieces,
} from "../completion.ts";
import type { Engine } from "../engine.ts";
import { completionLogprobs } from "../logprobs.ts";
import { checkSampling } from "../sampling.ts";
import { withFailure } from "../stream-errors.ts";
import { structuredPieces } from "../structured.ts";
import { tokenId } from "../tokens.ts";
import { type Transfer, transferOf } from "../transfer.ts";
import { choiceCount, chosenSessionOf, refuseOccupied, wantsUsage } from "./chat.ts";
import { COMPLETIONS, ofKind } from "./fields.ts";

/** The prompts of a body: a string, or a list; token ids, and lists of them, where the engine takes them. */
function promptsOf({ settings }: Engine, body: JsonObject): readonly string[] {
  const prompts = listField(body, "prompt");
  if (settings.kind === "lmdeploy") {
    if (prompts.every((prompt) => typeof prompt === "string")) return prompts;
    throw new EngineRefusal(400, "Request preprocessing failed.");
  }
  if (typeof prompts[0] === "number") return [prompts.join(" ")];
  return prompts.map((prompt) => (Array.isArray(prompt) ? prompt.join(" ") : contentText(prompt)));
}

/** The others take no notice of `echo`. */
const ECHOING: ReadonlySet<EngineKind> = new Set(["vllm", "sglang"]);

interface CompletionAnswer {
  readonly body: JsonObject;
  readonly choices: readonly Completion[];
  /** What stands before each choice's answer. */
  readonly echoes: readonly string[];
  readonly transfer: Transfer;
  readonly envelope: object;
  readonly withUsage: boolean;
  readonly prompts: number;
}

export async function completions(engine: Engine, call: Call, body: JsonObject): Promise<Answer> {
  const { kind } = engine.settings;
  checkFields(body, ofKind(kind, COMPLETIONS));
  const model = requestedModel(engine, body);
  const session = chosenSessionOf(engine, body);
  refuseOccupied(engine, session);
  checkSampling(body);
  const prompts = promptsOf(engine, body);
  // LMDeploy takes no notice of n here.
  const count = kind === "lmdeploy" ? 1 : choiceCount(body);
  const transfer = await transferOf(engine, call, body, count * prompts.length);
  // A list's requests have numbers of LMDeploy's own.
  const chosenSession = Array.isArray(body.prompt) ? undefined : session;
  const pieces = structuredPieces(body);
  const choices = prompts.flatMap((prompt) =>
    Array.from({ length: count }, () =>
      startCompletion(engine, call, body, prompt, { model, pieces, transfer, chosenSession }),
    ),
  );
  const id = answerId(engine, session, choices[0]?.session ?? 0);
  const envelope = { id, object: "text_completion", created: createdAt(), model };
  const withUsage = wantsUsage(body);
  const isEchoed = ECHOING.has(kind) && booleanField(body, "echo");
  const echoes = choices.map((_, i) => (isEchoed ? (prompts[Math.floor(i / count)] ?? "") : ""));
  const parts = { body, choices, echoes, transfer, envelope, withUsage };
  const answer = { ...parts, prompts: prompts.length };
  if (!booleanField(body, "stream")) return jsonAnswer(await wholeAnswer(engine, answer));
  const events = kind === "lmdeploy" ? lmdeployEvents(answer) : otherEvents(answer);
  return eventStream(withFailure(engine.settings, events));
}

function answerId({ settings }: Engine, chosen: number | undefined, session: number): string {
  if (settings.kind !== "lmdeploy") return `cmpl-${shortId()}`;
  return String(settings.traits.prefillIds === "session" ? session : (chosen ?? -1));
}

async function wholeAnswer(engine: Engine, answer: CompletionAnswer): Promise<object> {
  const { body, choices, echoes, transfer, envelope, prompts } = answer;
  const said = await Promise.all(choices.map((completion) => wholePieces(completion)));
  const isLmdeploy = engine.settings.kind === "lmdeploy";
  const drawn = choices.map((completion, index) => {
    const pieces = said[index] ?? [];
    return {
      index,
      text: echoes[index] + pieces.join(""),
      logprobs: isLmdeploy ? null : logprobsOf(body, pieces, 0),
      finish_reason: finishOf(completion),
      ...(booleanField(body, "return_token_ids") &&
        !isLmdeploy && { token_ids: pieces.map(tokenId) }),
    };
  });
  const details = { prompt_tokens_details: null, completion_tokens_details: null };
  const usage = { ...usageOf(choices, prompts), ...details };
  return { ...envelope, choices: drawn, usage, ...(await transfer.finish(choices)) };
}

/** As LMDeploy: one prompt after the other, all as choice 0, and no reason until there is one. */
async function* lmdeployEvents(answer: CompletionAnswer): AsyncGenerator<string, void> {
  const { choices, transfer, envelope, withUsage, prompts } = answer;
  const event = (choice: object) =>
    asciiEvent({ ...envelope, choices: [choice], ...(withUsage && { usage: null }) });
  let isFirst = true;
  for (const completion of choices) {
    for await (const text of completionPieces(completion)) {
      if (isFirst) await transfer.finish(choices);
      isFirst = false;
      yield event({ index: 0, text });
    }
    yield event({ index: 0, text: "", finish_reason: finishOf(completion) });
  }
  if (withUsage) yield asciiEvent({ ...envelope, choices: [], usage: usageOf(choices, prompts) });
  yield SSE_DONE;
}

async function* otherEvents(answer: CompletionAnswer): AsyncGenerator<string, void> {
  const { body, choices, echoes, transfer, envelope, withUsage, prompts } = answer;
  let isFirst = true;
  for (const [index, completion] of choices.entries()) {
    let offset = 0;
    let echo = echoes[index] ?? "";
    for await (const piece of completionPieces(completion)) {
      if (isFirst) await transfer.finish(choices);
      isFirst = false;
      const text = echo + piece;
      echo = "";
      const logprobs = logprobsOf(body, [piece], offset);
      offset += text.length;
      const ids = booleanField(body, "return_token_ids") && { token_ids: [tokenId(piece)] };
      yield sseEvent({
        ...envelope,
        choices: [{ index, text, logprobs, finish_reason: null, ...ids }],
      });
    }
    const last = { index, text: "", logprobs: null, finish_reason: finishOf(completion) };
    yield sseEvent({ ...envelope, choices: [last] });
  }
  if (withUsage) yield sseEvent({ ...envelope, choices: [], usage: usageOf(choices, prompts) });
  yield SSE_DONE;
}

function logprobsOf(body: JsonObject, pieces: readonly string[], offset: number): object | null {
  const top = numberField(body, "logprobs");
  return top === undefined ? null : completionLogprobs(pieces, top, offset);
}
