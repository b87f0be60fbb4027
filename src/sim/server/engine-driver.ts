/**
 * Runs an `EngineModel` in real time (or as fast as possible) and hands its tokens to those who wait.
 */
import type { EngineModel } from "../model/engine-model.ts";
import type { ModelRequest } from "../model/model-types.ts";

/** A request under way: how many tokens there are, and a promise for more. */
export class Generation {
  readonly id: string;
  #tokens = 0;
  #state: "running" | "finished" | "cancelled" = "running";
  #wake: (() => void) | null = null;

  constructor(id: string) {
    this.id = id;
  }

  /** Tokens generated so far. */
  get tokens(): number {
    return this.#tokens;
  }

  get isCancelled(): boolean {
    return this.#state === "cancelled";
  }

  /** Resolves when there are more than `seen` tokens, or no more will come: then it is `false`. */
  async hasMoreThan(seen: number): Promise<boolean> {
    while (this.#tokens <= seen && this.#state === "running") {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#tokens > seen && this.#state !== "cancelled";
  }

  /** Resolves with `true` when all tokens are there, `false` when it was cancelled. */
  async isComplete(): Promise<boolean> {
    while (await this.hasMoreThan(this.#tokens)) {}
    return this.#state === "finished";
  }

  addToken(): void {
    this.#tokens += 1;
    this.#wakeUp();
  }

  end(state: "finished" | "cancelled"): void {
    if (this.#state === "running") this.#state = state;
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
  readonly #startedAtMs: number;
  readonly #generations = new Map<string, Generation>();
  #timer: ReturnType<typeof setTimeout> | null = null;
  #immediate: ReturnType<typeof setImmediate> | null = null;

  /** `now` in ms, monotonic; `timeScale` as in `EngineOptions`. */
  constructor(model: EngineModel, now: () => number, timeScale: number) {
    this.#model = model;
    this.#now = now;
    this.#timeScale = timeScale;
    this.#startedAtMs = now();
  }

  /** `null` when the engine could never hold the request. */
  submit(request: ModelRequest): Generation | null {
    if (!this.#model.submit(request, this.#virtualNowMs())) return null;
    const generation = new Generation(request.id);
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
    return Math.max(this.#model.nowMs, (this.#now() - this.#startedAtMs) / this.#timeScale);
  }

  /** Delivers what has happened and arms the timer for what comes next. */
  #settle(toMs: number = this.#virtualNowMs()): void {
    for (const event of this.#model.advance(toMs)) {
      const generation = this.#generations.get(event.id);
      if (event.kind === "token") generation?.addToken();
      else {
        this.#generations.delete(event.id);
        generation?.end("finished");
      }
    }
    this.#arm();
  }

  #arm(): void {
    const nextMs = this.#model.nextEventMs();
    if (this.#timeScale === 0) {
      // One step a turn of the event loop: requests that arrive together share a batch.
      if (nextMs !== null) this.#immediate ??= setImmediate(() => this.#jump());
      return;
    }
    this.#disarm();
    if (nextMs === null) return;
    const delayMs = (nextMs - this.#virtualNowMs()) * this.#timeScale;
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
