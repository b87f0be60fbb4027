/** From a prompt to the pieces of its answer, for all endpoints that generate. */
import { EngineRefusal } from "./answer.ts";
import { booleanField, type JsonObject, numberField, stringField } from "./body.ts";
import type { Call, Engine, Rank } from "./engine.ts";
import type { Generation } from "./engine-driver.ts";
import { type Prompt, promptOf, tokenText } from "./tokens.ts";

export interface Completion {
  readonly session: number;
  readonly rank: Rank;
  readonly generation: Generation;
  readonly prompt: Prompt;
  readonly answerTokens: number;
  readonly finishReason: "stop" | "length";
  /** What it says: given pieces, else made-up words. One piece a token. */
  readonly piece: (index: number) => string;
}

export interface CompletionOptions {
  /** Pieces to say instead of made-up words; their number is the answer's length. */
  readonly pieces?: readonly string[];
  /** Set for DistServe. */
  readonly transfer?: { readonly migrated: boolean; readonly preserve: boolean };
}

/** The model a body asks for; the first served one if it names none. Refuses unknown ones with 404. */
export function requestedModel(engine: Engine, body: JsonObject): string {
  const name = stringField(body, "model") ?? engine.models[0] ?? "";
  if (!engine.models.includes(name)) {
    throw new EngineRefusal(404, `The model '${name}' does not exist.`);
  }
  return name;
}

/**
 * Starts one sequence; it is cancelled when the call's client leaves. Not so a prefill that
 * preserves its cache: it runs on, and its blocks stay under a number that nobody then learns. A
 * proxy that cancels prefills is to be seen leaking.
 */
export function startCompletion(
  engine: Engine,
  call: Call,
  body: JsonObject,
  text: string,
  options: CompletionOptions = {},
): Completion {
  const session = engine.takeSession();
  const rank = engine.rankOf(session);
  const model = requestedModel(engine, body);
  const prompt = promptOf(text, model, rank.model.params.blockSizeTokens);
  const length = answerLength(engine, body, options.pieces?.length);
  const generation = rank.driver.submit({
    id: String(session),
    promptTokens: prompt.tokens,
    answerTokens: length.tokens,
    blockHashes: prompt.blockHashes,
    migrated: options.transfer?.migrated ?? false,
    preserve: options.transfer?.preserve ?? false,
  });
  if (generation === null) {
    const asked = `${prompt.tokens} prompt tokens and ${length.tokens} more`;
    throw new EngineRefusal(400, `The request is longer than the engine can hold: ${asked}.`);
  }
  if (!options.transfer?.preserve) cancelOnDeparture(call, rank, generation);
  const padding = call.fault?.kind === "pad" ? "x".repeat(call.fault.bytesPerPiece) : "";
  const piece = (i: number) => (options.pieces?.[i] ?? tokenText(prompt.fingerprint, i)) + padding;
  const { tokens: answerTokens, finishReason } = length;
  return { session, rank, generation, prompt, answerTokens, finishReason, piece };
}

function cancelOnDeparture(call: Call, rank: Rank, generation: Generation): void {
  call.signal.addEventListener("abort", () => rank.driver.cancel(generation), { once: true });
  if (call.signal.aborted) rank.driver.cancel(generation);
}

function answerLength(engine: Engine, body: JsonObject, pieces: number | undefined) {
  const limit = numberField(
    body,
    "max_completion_tokens",
    "max_tokens",
    "max_output_tokens",
    "max_new_tokens",
  );
  if (limit !== undefined && (limit < 1 || !Number.isInteger(limit))) {
    throw new EngineRefusal(400, `The max_tokens ${limit} must be a positive integer.`);
  }
  const { min, max } = engine.settings.answerTokens;
  const drawn = min + Math.floor(engine.settings.random() * (max - min + 1));
  const natural = pieces ?? Math.max(drawn, numberField(body, "min_new_tokens") ?? 1);
  if (limit === undefined) return { tokens: natural, finishReason: "stop" } as const;
  if (booleanField(body, "ignore_eos") || limit < natural) {
    return { tokens: limit, finishReason: "length" } as const;
  }
  return { tokens: natural, finishReason: "stop" } as const;
}

/** The answer's pieces as they are generated. Leaving early cancels the sequence. */
export async function* completionPieces(completion: Completion): AsyncGenerator<string, void> {
  const { generation, rank, piece } = completion;
  try {
    for (let i = 0; await generation.hasMoreThan(i); i += 1) yield piece(i);
  } finally {
    rank.driver.cancel(generation);
  }
}

/** The whole answer. Throws `EngineRefusal` when it was cancelled meanwhile. */
export async function completionText(completion: Completion): Promise<string> {
  if (!(await completion.generation.isComplete())) {
    throw new EngineRefusal(400, "The request was aborted.");
  }
  let text = "";
  for (let i = 0; i < completion.answerTokens; i += 1) text += completion.piece(i);
  return text;
}

/** OpenAI's `usage` of choices that share one prompt or have one each. */
export function usageOf(completions: readonly Completion[], prompts = completions.length): object {
  const promptTokens = completions
    .slice(0, prompts)
    .reduce((total, { prompt }) => total + prompt.tokens, 0);
  const answerTokens = completions.reduce((total, { answerTokens }) => total + answerTokens, 0);
  return {
    prompt_tokens: promptTokens,
    completion_tokens: answerTokens,
    total_tokens: promptTokens + answerTokens,
  };
}

/** Seconds since the epoch, as `created` fields want them. */
export function createdAt(): number {
  return Math.floor(Date.now() / 1_000);
}
