/**
 * Runs an `EngineModel` in real time (or as fast as possible) and hands its tokens to those who wait.
 */
import type { EngineModel } from "../model/engine-model.ts";
import type { ModelRequest } from "../model/model-types.ts";

/** A request under way: how many tokens there are, and a promise for more. */
export class Generation {
  readonly id: string;
  #tokens = 0;
  /** Prompt tokens that the prefix cache had, known with the first token. */
  cachedPromptTokens = 0;
  readonly #onEnd: () => void;
  #state: "running" | "finished" | "cancelled" | "failed" = "running";
  #wake: (() => void) | null = null;

  /** `onEnd` is called once, whatever the end. */
  constructor(id: string, onEnd: () => void) {
    this.id = id;
    this.#onEnd = onEnd;
  }

  /** Tokens generated so far. */
  get tokens(): number {
    return this.#tokens;
  }

  get isCancelled(): boolean {
    return this.#state === "cancelled";
  }

  /** The engine broke down under it. */
  get hasFailed(): boolean {
    return this.#state === "failed";
  }

  /** Resolves when there are more than `seen` tokens, or no more will come: then it is `false`. */
  async hasMoreThan(seen: number): Promise<boolean> {
    while (this.#tokens <= seen && this.#state === "running") {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#tokens > seen && (this.#state === "running" || this.#state === "finished");
  }

  addToken(): void {
    this.#tokens += 1;
    this.#wakeUp();
  }

  end(state: "finished" | "cancelled" | "failed"): void {
    if (this.#state === "running") {
      this.#state = state;
      this.#onEnd();
    }
    this.#wakeUp();
  }

  #wakeUp(): void {
    const wake = this.#wake;
    this.#wake = null;
    wake?.();
  }
}

export class EngineDriver {
  readonly #model: EngineModel;
  readonly #now: () => number;
  readonly #timeScale: number;
  /** Virtual time was `virtualMs` at `realMs`, and has run `pace` times as fast as it should since. */
  #pace = { factor: 1, realMs: 0, virtualMs: 0 };
  readonly #generations = new Map<string, Generation>();
  #timer: ReturnType<typeof setTimeout> | null = null;
  #immediate: ReturnType<typeof setImmediate> | null = null;

  /** `now` in ms, monotonic; `timeScale` as in `EngineOptions`. */
  constructor(model: EngineModel, now: () => number, timeScale: number) {
    this.#model = model;
    this.#now = now;
    this.#timeScale = timeScale;
    this.#pace.realMs = now();
  }

  /** How much faster it runs than it should: 0 stands still, 0.1 is ten times slower. */
  setPace(factor: number): void {
    this.#pace = { factor, realMs: this.#now(), virtualMs: this.#virtualNowMs() };
    this.#settle();
  }

  /** `null` when the engine could never hold the request; `onEnd` is called when it has ended. */
  submit(request: ModelRequest, onEnd: () => void): Generation | null {
    if (!this.#model.submit(request, this.#virtualNowMs())) return null;
    const generation = new Generation(request.id, onEnd);
    this.#generations.set(request.id, generation);
    this.#settle();
    return generation;
  }

  /** Ends a request whose client has left; nothing happens when it has ended already. */
  cancel(generation: Generation): void {
    if (!this.#generations.delete(generation.id)) return;
    generation.end("cancelled");
    this.#model.cancel(generation.id, this.#virtualNowMs());
    this.#settle();
  }

  /** `false` when no request of that id is under way. */
  cancelById(id: string): boolean {
    const generation = this.#generations.get(id);
    if (generation !== undefined) this.cancel(generation);
    return generation !== undefined;
  }

  cancelAll(): void {
    for (const generation of [...this.#generations.values()]) this.cancel(generation);
  }

  /** Ends everything as when the engine's process is gone. */
  failAll(): void {
    for (const generation of this.#generations.values()) generation.end("failed");
    this.cancelAll();
  }

  /** Whether it waits for one of the engine's places, of which there are as many as the batch holds. */
  waitsForHandle(generation: Generation): boolean {
    const { running } = this.#model.stats();
    return running >= this.#model.params.maxBatchSize && this.#model.isWaiting(generation.id);
  }

  /** Frees the blocks that a prefill kept; `false` if there are none. */
  releasePreserved(id: string): boolean {
    const isFreed = this.#model.releasePreserved(id, this.#virtualNowMs());
    this.#settle();
    return isFreed;
  }

  /** Cancels everything and stops the timers. */
  stop(): void {
    this.cancelAll();
    this.#disarm();
  }

  #virtualNowMs(): number {
    if (this.#timeScale === 0) return this.#model.nowMs;
    const { factor, realMs, virtualMs } = this.#pace;
    const passedMs = ((this.#now() - realMs) / this.#timeScale) * factor;
    return Math.max(this.#model.nowMs, virtualMs + passedMs);
  }

  /** Delivers what has happened and arms the timer for what comes next. */
  #settle(toMs: number = this.#virtualNowMs()): void {
    for (const event of this.#model.advance(toMs)) {
      const generation = this.#generations.get(event.id);
      if (event.kind === "token") {
        if (generation && event.cachedTokens) generation.cachedPromptTokens = event.cachedTokens;
        generation?.addToken();
      } else {
        this.#generations.delete(event.id);
        generation?.end("finished");
      }
    }
    this.#arm();
  }

  #arm(): void {
    const nextMs = this.#model.nextEventMs();
    if (this.#pace.factor === 0) {
      this.#disarm();
      return;
    }
    if (this.#timeScale === 0) {
      // One step a turn of the event loop: requests that arrive together share a batch.
      if (nextMs !== null) this.#immediate ??= setImmediate(() => this.#jump());
      return;
    }
    this.#disarm();
    if (nextMs === null) return;
    const delayMs = ((nextMs - this.#virtualNowMs()) * this.#timeScale) / this.#pace.factor;
    this.#timer = setTimeout(() => this.#settle(), Math.max(0, delayMs));
  }

  #jump(): void {
    this.#immediate = null;
    this.#settle(this.#model.nextEventMs() ?? this.#model.nowMs);
  }

  #disarm(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#immediate !== null) clearImmediate(this.#immediate);
    this.#timer = null;
    this.#immediate = null;
  }
}
