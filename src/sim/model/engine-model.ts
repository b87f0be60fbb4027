/**
 * A continuous-batching LLM engine in virtual time: no clock, no chance, no I/O.
 *
 * The engine works in steps, and requests join and leave the batch between steps (Orca, Yu et al.,
 * OSDI '22). A step decodes one token of every running sequence and fills what is left of its token
 * budget with chunks of prompts, oldest first (Sarathi-Serve, Agrawal et al., OSDI '24; the
 * default of vLLM's V1 scheduler); `stepTimeMs` says how long that takes. The end of a prompt's last
 * chunk is its first token.
 *
 * Admission is first come, first served, and waits until the blocks of the whole prompt are there and
 * those before it leave something of a step's token budget; only then its prefix is looked up (vLLM's
 * V1 scheduler, SGLang's `PrefillAdder`, LMDeploy's `max_prefill_token_num`). Answers take further
 * blocks as they grow. When none is left the newest sequence is preempted: it gives its blocks back
 * and waits, ahead of all others, to be computed again with what it had generated (recomputation, as
 * in vLLM, SOSP '23, and LMDeploy's `eviction_type`). What the empty engine could not hold is refused.
 *
 * Simplified: blocks are shared by prompts only (a later turn recomputes the earlier answer's
 * part), and a cancelled sequence leaves at once instead of at the end of the step, which is over
 * when nobody is left in it.
 */
import { Counts } from "./counts.ts";
import { DEFAULT_ENGINE_PARAMS, type EngineParams, type EngineSpeed } from "./engine-params.ts";
import { KvCache } from "./kv-cache.ts";
import type { ModelEvent, ModelRequest, ModelStats } from "./model-types.ts";
import { newSequence, type Sequence, tokenEvent, without } from "./sequence.ts";
import { isAlive, nextStep, roomIn, type Step, stepsDone, stepsEndMs, stepsInRow } from "./step.ts";

export class EngineModel {
  #params: EngineParams;
  readonly #everyToken: boolean;
  readonly #cache: KvCache;
  readonly #sequences = new Map<string, Sequence>();
  #nowMs = 0;
  #waiting: Sequence[] = [];
  /** In order of admission. */
  #running: Sequence[] = [];
  readonly #preserved = new Map<string, readonly number[]>();
  #step: Step | null = null;
  #events: ModelEvent[] = [];
  readonly #counts = new Counts();
  /** When the first of those that wait found no room, as the cache counts its changes; else -1. */
  #noRoomAt = -1;

  /**
   * @param everyToken False: of a request's tokens only the first is told. Steps between two events
   * are then taken together, with the same times, which makes a simulation many times faster.
   */
  constructor(params: Partial<EngineParams> = {}, everyToken = true) {
    this.#params = { ...DEFAULT_ENGINE_PARAMS, ...params };
    this.#everyToken = everyToken;
    this.#cache = new KvCache(this.#params.totalBlocks, this.#params.prefixCache);
  }

  get params(): EngineParams {
    return this.#params;
  }

  /** The engine works at other speeds from its next step on. The number and size of blocks stay. */
  changeSpeed(speed: EngineSpeed, nowMs: number): void {
    this.#run(nowMs);
    this.#params = { ...this.#params, ...speed };
    this.#cutSteps();
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  /** What is inside, only to be read. */
  inside = () => ({ sequences: this.#sequences.values(), cache: this.#cache });

  /** Whether the empty engine could hold a request of this size; `submit` refuses others. */
  fits(promptTokens: number, answerTokens: number): boolean {
    return this.#blocksFor(promptTokens + answerTokens) <= this.params.totalBlocks;
  }

  /**
   * Queues a request at `nowMs` (not before the model's own time). `false`, and nothing else, when
   * the engine could never hold it.
   */
  submit(request: ModelRequest, nowMs: number): boolean {
    this.#run(nowMs);
    if (!this.fits(request.promptTokens, request.answerTokens)) return false;
    const sequence = newSequence(request);
    this.#sequences.set(request.id, sequence);
    this.#waiting.push(sequence);
    this.#cutSteps();
    this.#startStep();
    return true;
  }

  /** Takes a request out, whatever its phase, and frees its blocks; `false` if there is none such. */
  cancel(id: string, nowMs: number): boolean {
    this.#run(nowMs);
    const sequence = this.#sequences.get(id);
    if (sequence === undefined) return false;
    this.#noRoomAt = -1;
    if (sequence.state === "waiting") this.#waiting = without(this.#waiting, sequence);
    this.#leave(sequence);
    this.#cache.release(sequence.blocks);
    if (this.#step !== null && !isAlive(this.#step)) this.#step = null;
    this.#cutSteps();
    this.#startStep();
    return true;
  }

  /** Whether a request has not been admitted yet, or has been preempted. */
  isWaiting(id: string): boolean {
    return this.#sequences.get(id)?.state === "waiting";
  }

  /** Blocks of a finished request that was submitted with `preserve`, in the order of its tokens. */
  preservedBlocks(id: string): readonly number[] | null {
    return this.#preserved.get(id) ?? null;
  }

  /** Frees what `preserve` kept; `false` if there is nothing under that id. */
  releasePreserved(id: string, nowMs: number): boolean {
    this.#run(nowMs);
    const blocks = this.#preserved.get(id);
    if (blocks === undefined) return false;
    this.#preserved.delete(id);
    this.#cache.release(blocks);
    this.#cutSteps();
    this.#startStep();
    return true;
  }

  /** Lets time pass and returns what happened up to and including `toMs`, in order. */
  advance(toMs: number): readonly ModelEvent[] {
    this.#run(toMs);
    const events = this.#events;
    this.#events = [];
    return events;
  }

  /** When something happens next if nobody submits or cancels, ms; `null`: never. */
  nextEventMs(): number | null {
    if (this.#step !== null) return stepsEndMs(this.#step);
    const ready = this.#running.map((sequence) => sequence.readyAtMs);
    return ready.length === 0 ? null : Math.max(this.#nowMs, Math.min(...ready));
  }

  stats(): ModelStats {
    const preserved = new Set([...this.#preserved.values()].flat());
    return {
      running: this.#running.length,
      waiting: this.#waiting.length,
      ...this.#cache.figures,
      preservedRequests: this.#preserved.size,
      preservedBlocks: preserved.size,
      ...this.#counts,
    };
  }

  #run(toMs: number): void {
    if (toMs < this.#nowMs) throw new Error(`time runs backwards: ${toMs} < ${this.#nowMs} ms`);
    for (let next = this.nextEventMs(); next !== null && next <= toMs; next = this.nextEventMs()) {
      this.#nowMs = next;
      if (this.#step !== null) this.#endStep(this.#step);
      this.#startStep();
    }
    this.#nowMs = toMs;
    if (this.#step !== null && this.#step.count > 1) {
      this.#takeSteps(this.#step, stepsDone(this.#step, toMs));
    }
  }

  /** Of a row of steps, the first ones are over. */
  #takeSteps(step: Step, done: number): void {
    if (done === 0) return;
    for (const sequence of step.decoding) this.#decode(sequence, done);
    step.startMs = stepsEndMs(step, done);
    step.firstMs += done * step.growthMs;
    step.count -= done;
  }

  /** Something changes with the next step: the row ends with the one that is under way. */
  #cutSteps(): void {
    if (this.#step !== null) this.#step.count = 1;
  }

  #startStep(): void {
    if (this.#step !== null) return;
    this.#admit();
    this.#step = nextStep(this.#params, this.#running, this.#nowMs);
    if (this.#step === null || this.#everyToken) return;
    this.#step.count = stepsInRow(this.#step, this.#running.length, this.#cache, this.#params);
  }

  #admit(): void {
    let room = roomIn(this.#params, this.#running);
    while (room > 0 && this.#running.length < this.params.maxBatchSize) {
      const [sequence] = this.#waiting;
      if (sequence === undefined || this.#noRoomAt === this.#cache.changes) return;
      if (!this.#giveBlocks(sequence)) return;
      this.#waiting.shift();
      sequence.state = "running";
      this.#running.push(sequence);
      room -= sequence.target - sequence.computed;
    }
  }

  #giveBlocks(sequence: Sequence): boolean {
    const { blockHashes = [] } = sequence.request;
    const found = sequence.fetched ? [] : this.#cache.matchingBlocks(blockHashes);
    const needed = this.#blocksFor(sequence.target + 1);
    const cached = found.slice(0, needed);
    const blocks = this.#cache.take(cached, needed - cached.length);
    this.#noRoomAt = blocks === null ? this.#cache.changes : -1;
    if (blocks === null) return false;
    sequence.blocks = blocks;
    // The last token of a prompt is always computed: its output is the first token of the answer.
    const cachedTokens = Math.min(cached.length * this.params.blockSizeTokens, sequence.target - 1);
    sequence.computed = sequence.fetched ? sequence.target : cachedTokens;
    const transferMs = sequence.fetched ? blocks.length * this.params.transferPerBlockMs : 0;
    sequence.readyAtMs = this.#nowMs + transferMs;
    sequence.cached = cachedTokens;
    this.#counts.admitted(sequence);
    return true;
  }

  #endStep(step: Step): void {
    this.#step = null;
    this.#takeSteps(step, step.count - 1);
    for (const [sequence, chunk] of step.chunks) {
      if (sequence.state !== "running") continue;
      const from = sequence.computed / this.params.blockSizeTokens;
      sequence.computed += chunk;
      const to = sequence.computed / this.params.blockSizeTokens;
      this.#cache.publish(sequence.blocks, sequence.request.blockHashes, from, to);
      this.#counts.computedPromptTokens += chunk;
      if (sequence.computed >= sequence.target) this.#emitTokens(sequence, 1);
    }
    for (const sequence of step.decoding) {
      if (sequence.state === "running") this.#decode(sequence, 1);
    }
  }

  #decode(sequence: Sequence, tokens: number): void {
    if (!this.#grow(sequence, tokens)) return;
    sequence.computed += tokens;
    this.#emitTokens(sequence, tokens);
  }

  #emitTokens(sequence: Sequence, tokens: number): void {
    const { id, answerTokens, preserve } = sequence.request;
    sequence.generated += tokens;
    this.#counts.generatedTokens += tokens;
    if (this.#everyToken || sequence.generated === 1) {
      this.#events.push(tokenEvent(sequence, this.#nowMs));
    }
    if (sequence.generated < answerTokens) return;
    this.#counts.finished(sequence);
    this.#leave(sequence);
    if (preserve) this.#preserved.set(id, sequence.blocks);
    else this.#cache.release(sequence.blocks);
    this.#events.push({ kind: "finished", id, atMs: this.#nowMs });
  }

  /** Makes room for more tokens; `false` when that took the sequence itself out of the batch. */
  #grow(sequence: Sequence, tokens: number): boolean {
    while (sequence.blocks.length < this.#blocksFor(sequence.computed + tokens)) {
      const block = this.#cache.take([], 1);
      if (block !== null) {
        sequence.blocks.push(...block);
        continue;
      }
      const newest = this.#running[this.#running.length - 1];
      if (newest === undefined) return false;
      this.#preempt(newest);
      if (newest === sequence) return false;
    }
    return true;
  }

  #preempt(sequence: Sequence): void {
    this.#running = without(this.#running, sequence);
    this.#cache.release(sequence.blocks);
    sequence.state = "waiting";
    sequence.fetched = false;
    sequence.blocks = [];
    sequence.computed = 0;
    sequence.target = sequence.request.promptTokens + sequence.generated;
    this.#waiting.unshift(sequence);
    this.#noRoomAt = -1;
    this.#counts.preemptions += 1;
  }

  #blocksFor(tokens: number): number {
    return Math.ceil(tokens / this.params.blockSizeTokens);
  }

  #leave(sequence: Sequence): void {
    if (sequence.state === "running") this.#running = without(this.#running, sequence);
    sequence.state = "gone";
    this.#sequences.delete(sequence.request.id);
  }
}
