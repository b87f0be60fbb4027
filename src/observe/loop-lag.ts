import type { Clock } from "../core/clock.ts";
import { Histogram } from "./histogram.ts";

const EVERY_MS = 100;
const LAG_S = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1] as const;

/** How late the event loop is: measured by a timer of our own, since reading it must not count. */
export class LoopLag {
  readonly histogram = new Histogram(LAG_S);
  readonly #clock: Pick<Clock, "now" | "every">;
  #stop: () => void = () => {};

  constructor(clock: Pick<Clock, "now" | "every">) {
    this.#clock = clock;
  }

  start(): void {
    const { now, every } = this.#clock;
    let dueMs = now() + EVERY_MS;
    this.#stop = every(EVERY_MS, () => {
      const nowMs = now();
      this.histogram.observe(Math.max(nowMs - dueMs, 0) / 1_000);
      dueMs = nowMs + EVERY_MS;
    });
  }

  stop(): void {
    this.#stop();
  }
}
