import type { Clock } from "../core/clock.ts";

/** Something that works on its own from start to stop. */
export interface Task {
  start(): void;
  stop(): void;
}

/** Something done again and again. */
export class Every implements Task {
  readonly #begin: () => () => void;
  #end: () => void = () => {};

  constructor(ms: number, clock: Clock, act: () => void) {
    this.#begin = () => clock.every(ms, act);
  }

  start(): void {
    this.#end = this.#begin();
  }

  stop(): void {
    this.#end();
  }
}
