import type { PrefixCounts } from "../core/engine/load-signals.ts";
import type { Outcome } from "../core/pool/lease.ts";
import { EngineModel } from "../sim/model/engine-model.ts";
import type { EngineParams } from "../sim/model/engine-params.ts";
import { speedOf } from "./engines.ts";
import type { VirtualTime } from "./virtual-time.ts";

/** What becomes of a request in an engine; called at the time at which it happens. */
export interface InEngine {
  readonly id: string;
  readonly promptTokens: number;
  readonly answerTokens: number;
  readonly blockHashes: readonly number[];
  /** Its KV cache comes from a prefill engine, or is kept for a decode engine. */
  readonly migrated: boolean;
  readonly preserve: boolean;
  /** @param cachedTokens Of the prompt, those that the engine had kept. */
  firstToken(cachedTokens: number): void;
  ended(outcome: Outcome): void;
}

/** What an engine shows on `/metrics`. */
export interface Gauges {
  readonly cacheUsage: number;
  readonly running: number;
  readonly waiting: number;
}

const DONE: Outcome = { kind: "answered", status: 200 };
const NOBODY: Outcome = { kind: "refused", detail: "nobody listens" };
const GONE: Outcome = { kind: "lost", detail: "the engine died" };

/** One engine at work in virtual time. */
export class EngineNode {
  readonly url: string;
  readonly #time: VirtualTime;
  readonly #params: EngineParams;
  readonly #requests = new Map<string, InEngine>();
  #model: EngineModel;
  #cancelWake: () => void = () => {};
  #alive = true;
  /** The gauges as they were refreshed last. */
  gauges: Gauges = { cacheUsage: 0, running: 0, waiting: 0 };

  /** @param params With its speed in them already. */
  constructor(url: string, params: EngineParams, time: VirtualTime) {
    this.url = url;
    this.#time = time;
    this.#params = params;
    this.#model = new EngineModel(params, false);
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** Of the model itself, which no proxy can see: for yardsticks. */
  get model(): EngineModel {
    return this.#model;
  }

  get requests(): ReadonlyMap<string, InEngine> {
    return this.#requests;
  }

  /** False when it could never hold such a request. */
  submit(request: InEngine): boolean {
    const { nowMs } = this.#time;
    if (!this.#alive) {
      this.#time.after(0, () => request.ended(NOBODY));
      return true;
    }
    this.#run();
    if (!this.#model.submit(request, nowMs)) return false;
    this.#requests.set(request.id, request);
    this.#wakeUp();
    return true;
  }

  /** What was kept for a decode engine is needed no more. */
  release(id: string): void {
    this.#run();
    this.#model.releasePreserved(id, this.#time.nowMs);
    this.#wakeUp();
  }

  refreshGauges(): void {
    this.#run();
    const { usageWithoutCached, running, waiting } = this.#model.stats();
    // As LMDeploy counts from 0.18.0 on: what only the prefix cache holds is free.
    this.gauges = { cacheUsage: usageWithoutCached, running, waiting };
    this.#wakeUp();
  }

  /** What its counters show, which LMDeploy keeps up to date. */
  get prefixCounts(): PrefixCounts {
    const { finishedPromptTokens, finishedCachedTokens } = this.#model.stats();
    return { asked: finishedPromptTokens, found: finishedCachedTokens };
  }

  die(): void {
    this.#alive = false;
    this.#cancelWake();
    const lost = [...this.#requests.values()];
    this.#requests.clear();
    for (const request of lost) request.ended(GONE);
  }

  /** It starts again, with nothing in its cache, if it was gone. */
  comeBack(): void {
    if (this.#alive) return;
    this.#alive = true;
    this.#model = new EngineModel(this.#params, false);
    this.#model.advance(this.#time.nowMs);
  }

  /** From now on it is `factor` times as fast as it was built. */
  changeSpeed(factor: number): void {
    this.#run();
    this.#model.changeSpeed(speedOf(this.#params, factor), this.#time.nowMs);
    this.#wakeUp();
  }

  #run(): void {
    for (const event of this.#model.advance(this.#time.nowMs)) {
      const request = this.#requests.get(event.id);
      if (event.kind === "token") request?.firstToken(event.cachedTokens ?? 0);
      else {
        this.#requests.delete(event.id);
        request?.ended(DONE);
      }
    }
  }

  #wakeUp(): void {
    this.#cancelWake();
    const next = this.#model.nextEventMs();
    if (next === null || !this.#alive) return;
    this.#cancelWake = this.#time.after(Math.max(0, next - this.#time.nowMs), () => {
      this.#run();
      this.#wakeUp();
    });
  }
}
