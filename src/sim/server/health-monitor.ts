/**
 * What `/health` says. LMDeploy answers from a snapshot that it takes at an interval of its own, so
 * that an engine which has gone to sleep or woken is seen late (`serve/core/health.py`).
 */
import type { EngineHealth } from "./engine-options.ts";

export class HealthMonitor {
  readonly #now: () => number;
  readonly #intervalMs: number;
  readonly #startedAtMs: number;
  #shown: EngineHealth;
  #next: { readonly health: EngineHealth; readonly fromMs: number } | null = null;

  /** `now` in ms, monotonic; with an interval of 0 everything is seen at once. */
  constructor(now: () => number, intervalMs: number, health: EngineHealth) {
    this.#now = now;
    this.#intervalMs = intervalMs;
    this.#startedAtMs = now();
    this.#shown = health;
  }

  get shown(): EngineHealth {
    if (this.#next !== null && this.#now() >= this.#next.fromMs) this.show(this.#next.health);
    return this.#shown;
  }

  /** From now on. */
  show(health: EngineHealth): void {
    this.#shown = health;
    this.#next = null;
  }

  /** From the next look on. */
  notice(health: EngineHealth): void {
    if (this.#intervalMs === 0) {
      this.show(health);
      return;
    }
    const looks = Math.floor((this.#now() - this.#startedAtMs) / this.#intervalMs) + 1;
    this.#next = { health, fromMs: this.#startedAtMs + looks * this.#intervalMs };
  }
}
