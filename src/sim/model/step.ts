/** The steps of `EngineModel`: what is in one, how long it lasts, and which can be taken together. */
import { type EngineParams, stepTimeMs } from "./engine-params.ts";
import type { Sequence } from "./sequence.ts";

/** What the engine is working on, and until when: one step, or a row of steps that only decode. */
export interface Step {
  startMs: number;
  /** How long the first of them lasts, ms. */
  firstMs: number;
  /** How much longer each lasts than the one before, ms: contexts grow. */
  readonly growthMs: number;
  /** How many steps, at least 1. */
  count: number;
  readonly decoding: readonly Sequence[];
  readonly chunks: ReadonlyMap<Sequence, number>;
}

/** When the first `count` steps of the row are over, ms. */
export function stepsEndMs(step: Step, count = step.count): number {
  return step.startMs + count * step.firstMs + (step.growthMs * count * (count - 1)) / 2;
}

/** How many steps of the row are over at `nowMs`, less than all of them. */
export function stepsDone(step: Step, nowMs: number): number {
  const { startMs, firstMs, growthMs, count } = step;
  const linear = firstMs - growthMs / 2;
  const elapsedMs = nowMs - startMs;
  // The positive root of growth/2 n² + linear n = elapsed, in the form that bears a growth of 0.
  const root = (2 * elapsedMs) / (linear + Math.sqrt(linear * linear + 2 * growthMs * elapsedMs));
  let done = Math.min(Math.floor(root), count - 1);
  // Rounding may be off by one.
  while (done > 0 && stepsEndMs(step, done) > nowMs) done -= 1;
  while (done < count - 1 && stepsEndMs(step, done + 1) <= nowMs) done += 1;
  return done;
}

/** Tokens of a step that the batch leaves to others, 0 or less when it leaves none. */
export function roomIn(params: EngineParams, running: readonly Sequence[]): number {
  let room = params.maxStepTokens;
  for (const { target, computed } of running) room -= Math.max(1, target - computed);
  return room;
}

/**
 * The next step: a token for every sequence that decodes, and what is left of the token budget for
 * prompts, oldest first. Null when there is nothing to do.
 * @param running In order of admission.
 */
export function nextStep(
  params: EngineParams,
  running: readonly Sequence[],
  nowMs: number,
): Step | null {
  const ready = running.filter((sequence) => sequence.readyAtMs <= nowMs);
  const decoding = ready.filter((sequence) => sequence.computed >= sequence.target);
  const chunks = new Map<Sequence, number>();
  let budget = Math.max(1, params.maxStepTokens - decoding.length);
  let chunkTokens = 0;
  for (const sequence of ready) {
    const chunk = Math.min(sequence.target - sequence.computed, budget);
    if (chunk <= 0) continue;
    chunks.set(sequence, chunk);
    chunkTokens += chunk;
    budget -= chunk;
  }
  if (decoding.length === 0 && chunks.size === 0) return null;
  let contextTokens = 0;
  for (const sequence of decoding) contextTokens += sequence.computed;
  return {
    startMs: nowMs,
    firstMs: stepTimeMs(params, { sequences: decoding.length, contextTokens, chunkTokens }),
    growthMs: (params.stepPer1kContextMs * decoding.length) / 1_000,
    count: 1,
    decoding,
    chunks,
  };
}

/**
 * How many steps like this one follow each other when nobody comes or leaves: until a sequence ends, if
 * there is room for all their tokens.
 */
export function stepsInRow(
  { decoding }: Step,
  running: number,
  { availableBlocks }: { readonly availableBlocks: number },
  { blockSizeTokens }: EngineParams,
): number {
  // Somebody's prompt is being computed, or fetched.
  if (decoding.length < running) return 1;
  let count = Number.POSITIVE_INFINITY;
  for (const { request, generated } of decoding) {
    count = Math.min(count, request.answerTokens - generated);
  }
  let blocks = 0;
  for (const { computed, blocks: own } of decoding) {
    blocks += Math.max(Math.ceil((computed + count) / blockSizeTokens) - own.length, 0);
  }
  return blocks <= availableBlocks ? count : 1;
}

/** Whether anybody in the batch of this step is still there. */
export function isAlive({ decoding, chunks }: Step): boolean {
  const isRunning = (sequence: Sequence) => sequence.state === "running";
  return decoding.some(isRunning) || [...chunks.keys()].some(isRunning);
}
