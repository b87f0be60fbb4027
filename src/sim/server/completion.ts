/** From a prompt to the pieces of its answer, for all endpoints that generate. */

import type { JsonObject } from "../../core/json-object.ts";
import { EngineRefusal } from "./answer.ts";
import { AnswerText } from "./answer-text.ts";
import { booleanField, listField, numberField, stringField } from "./body.ts";
import type { Call } from "./call.ts";
import type { Engine, Rank } from "./engine.ts";
import type { Generation } from "./engine-driver.ts";
import type { Fault } from "./faults.ts";
import { type PlannedAnswer, stopAt } from "./stop-words.ts";
import { type Prompt, promptOf } from "./tokens.ts";

export interface Completion extends PlannedAnswer {
  readonly session: number;
  readonly rank: Rank;
  readonly generation: Generation;
  readonly prompt: Prompt;
  /** Set when the engine fails during this answer. */
  readonly failure: Failure | null;
}

/** An engine that fails once it has generated so many tokens of an answer. */
export interface Failure {
  readonly afterTokens: number;
  readonly refusal: EngineRefusal;
  /** It is said in the answer's text, as releases before 0.16 do. */
  readonly isText: boolean;
}

export interface CompletionOptions {
  /** The model whose blocks the prompt shares. */
  readonly model: string;
  /** Pieces to say instead of made-up words; their number is the answer's length. */
  readonly pieces?: readonly string[] | null;
  /** Set for DistServe. */
  readonly transfer?: { readonly migrated: boolean; readonly preserve: boolean };
  /** The number that the client gave its request. */
  readonly chosenSession?: number | undefined;
}

/**
 * The model a body asks for; the first served one if it names none. Refuses unknown ones with 404, but
 * for llama.cpp, which answers to any name with its own.
 */
export function requestedModel(engine: Engine, body: JsonObject, param: string | null = null) {
  const own = engine.models[0] ?? "";
  if (engine.settings.kind === "llamacpp") return own;
  const name = stringField(body, "model") ?? own;
  if (!engine.models.includes(name)) {
    throw new EngineRefusal(404, `The model '${name}' does not exist.`, param);
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
  options: CompletionOptions,
): Completion {
  const { transfer, chosenSession } = options;
  const session = engine.sessions.take(chosenSession);
  const rank = engine.rankOf(session);
  const prompt = promptOf(text, options.model, rank.model.params.blockSizeTokens);
  const answer = answerOf(engine, call, body, prompt.fingerprint, options.pieces ?? null);
  const generation = rank.driver.submit(
    {
      id: String(session),
      promptTokens: prompt.tokens,
      answerTokens: answer.answerTokens,
      blockHashes: prompt.blockHashes,
      migrated: transfer?.migrated ?? false,
      preserve: transfer?.preserve ?? false,
    },
    () => engine.sessions.end(session, chosenSession),
  );
  if (generation === null) {
    engine.sessions.end(session, chosenSession);
    const asked = `${prompt.tokens} prompt tokens and ${answer.answerTokens} more`;
    throw new EngineRefusal(400, `The request is longer than the engine can hold: ${asked}.`);
  }
  if (engine.isDead) generation.end("failed");
  if (!transfer?.preserve) cancelOnDeparture(engine, call, body, rank, generation);
  return { session, rank, generation, prompt, ...answer, failure: failureOf(engine, call) };
}

function cancelOnDeparture(
  engine: Engine,
  call: Call,
  body: JsonObject,
  rank: Rank,
  generation: Generation,
): void {
  const cancel = () => {
    // LMDeploy's count of these never goes down again.
    if (booleanField(body, "stream") && rank.driver.waitsForHandle(generation))
      engine.loseWaiting();
    rank.driver.cancel(generation);
  };
  call.signal.addEventListener("abort", cancel, { once: true });
  if (call.signal.aborted) cancel();
}

function failureOf(engine: Engine, { fault }: Call): Failure | null {
  const isText = engine.settings.kind === "lmdeploy" && engine.settings.traits.failsInText;
  if (fault?.kind === "engine-error") {
    const refusal = new EngineRefusal(fault.status ?? 500, FAILURE_MESSAGE);
    return { afterTokens: fault.afterTokens ?? 0, refusal, isText };
  }
  const refusal = new EngineRefusal(503, "The inference engine is unavailable.");
  return { afterTokens: Number.POSITIVE_INFINITY, refusal, isText };
}

const FAILURE_MESSAGE = "An internal server error occurred.";

type Length = Pick<PlannedAnswer, "answerTokens" | "finishReason">;

/** What it will say, how long it is and why it ends there. */
function answerOf(
  engine: Engine,
  call: Call,
  body: JsonObject,
  promptFingerprint: number,
  pieces: readonly string[] | null,
): PlannedAnswer {
  const fingerprint = drawn(engine, body, promptFingerprint);
  const words = new AnswerText(engine.settings.voice, fingerprint.words);
  const planned = lengthOf(engine, body, words, fingerprint.length, pieces);
  const length = cutShort(planned, call.fault);
  const last = length.finishReason === "stop" ? length.answerTokens - 1 : -1;
  const said = (i: number) =>
    pieces?.[i] ?? (pieces === null && i === last ? words.lastPiece(i) : words.piece(i));
  const padding = call.fault?.kind === "pad" ? "x".repeat(call.fault.bytesPerPiece) : "";
  const piece = padding === "" ? said : (i: number) => said(i) + padding;
  const stops = [...listField(body, "stop"), ...listField(body, "stop_sequences")];
  const isStopIncluded = booleanField(body, "include_stop_str_in_output");
  return stopAt({ ...length, stopWord: null, piece }, stops.map(String), isStopIncluded);
}

function cutShort(planned: Length, fault: Fault | null): Length {
  if (fault?.kind !== "short" || planned.answerTokens <= fault.tokens) return planned;
  return { answerTokens: fault.tokens, finishReason: "stop" };
}

/**
 * What is chosen by the prompt and what by chance: at temperature 0, or with a seed, nothing is left
 * to chance; without a temperature the length is; above 0 the words are, too.
 */
function drawn({ settings }: Engine, body: JsonObject, prompt: number) {
  const temperature = numberField(body, "temperature");
  const seed = numberField(body, "seed");
  if (temperature === 0 || seed !== undefined) {
    const words = prompt + (temperature === 0 ? 0 : Math.abs(seed ?? 0));
    return { words, length: (words % 1_009) / 1_009 };
  }
  const words =
    temperature === undefined ? prompt : prompt + Math.floor(settings.random() * 2 ** 20);
  return { words, length: settings.random() };
}

function lengthOf(
  engine: Engine,
  body: JsonObject,
  words: AnswerText,
  chance: number,
  pieces: readonly string[] | null,
): Length {
  const names = ["max_completion_tokens", "max_tokens", "max_output_tokens", "max_new_tokens"];
  const name = names.find((one) => body[one] !== undefined && body[one] !== null);
  const limit = name === undefined ? undefined : numberField(body, name);
  if (limit !== undefined && (limit < 1 || !Number.isInteger(limit))) {
    throw new EngineRefusal(400, `The ${name} ${limit} must be a positive integer.`);
  }
  const { min, max } = engine.settings.answerTokens;
  const leastName = engine.settings.kind === "lmdeploy" ? "min_new_tokens" : "min_tokens";
  const least = Math.max(min, numberField(body, leastName) ?? 1);
  const wanted = Math.max(least, min + Math.floor(chance * (max - min + 1)));
  const natural = pieces?.length ?? words.naturalEnd(least, wanted);
  if (limit === undefined) return { answerTokens: natural, finishReason: "stop" };
  if (booleanField(body, "ignore_eos") || limit < natural) {
    return { answerTokens: limit, finishReason: "length" };
  }
  return { answerTokens: natural, finishReason: "stop" };
}

/**
 * The answer's pieces as they are generated. Leaving early cancels the sequence. Throws
 * `EngineRefusal` when the engine fails.
 */
export async function* completionPieces(completion: Completion): AsyncGenerator<string, void> {
  const { generation, rank, piece, failure } = completion;
  try {
    for (let i = 0; ; i += 1) {
      if (failure?.afterTokens === i) generation.end("failed");
      if (!(await generation.hasMoreThan(i))) break;
      yield piece(i);
    }
    if (!generation.hasFailed || failure === null) return;
    if (!failure.isText) throw failure.refusal;
    yield "internal error happened, status code ResponseType.INTERNAL_ENGINE_ERROR";
  } finally {
    rank.driver.cancel(generation);
  }
}

/** All pieces of the answer; fewer than planned when it was aborted. Throws `EngineRefusal`. */
export async function wholePieces(completion: Completion): Promise<readonly string[]> {
  const pieces: string[] = [];
  for await (const piece of completionPieces(completion)) pieces.push(piece);
  return pieces;
}

export async function completionText(completion: Completion): Promise<string> {
  return (await wholePieces(completion)).join("");
}

/** Why the answer ended, in OpenAI's words and LMDeploy's two. */
export function finishOf({ generation, finishReason }: Completion): string {
  if (generation.hasFailed) return "error";
  return generation.isCancelled ? "abort" : finishReason;
}

/** Tokens that it said, in the end. */
export function saidTokens({ generation, answerTokens }: Completion): number {
  return generation.isCancelled ? generation.tokens : answerTokens;
}

/** OpenAI's `usage` of choices that share one prompt or have one each. */
export function usageOf(completions: readonly Completion[], prompts = completions.length) {
  const prompt_tokens = completions
    .slice(0, prompts)
    .reduce((total, { prompt }) => total + prompt.tokens, 0);
  const completion_tokens = completions.reduce((total, one) => total + saidTokens(one), 0);
  return { prompt_tokens, total_tokens: prompt_tokens + completion_tokens, completion_tokens };
}

/** Prompt tokens that the prefix cache had. */
export function cachedTokens(completions: readonly Completion[]): { cached_tokens: number } {
  return { cached_tokens: completions[0]?.generation.cachedPromptTokens ?? 0 };
}

/** Seconds since the epoch, as `created` fields want them. */
export function createdAt(): number {
  return Math.floor(Date.now() / 1_000);
}

const ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/** 22 characters that no other answer has, as shortuuid makes them. */
export function shortId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(22));
  return Array.from(bytes, (byte) => ALPHABET[byte % ALPHABET.length]).join("");
}
