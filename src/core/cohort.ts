import type { Clock } from "./clock.ts";

/**
 * Has what arrives in one turn of the event loop go on together, one stage after the other, once all of it is there.
 * Requests that pass the whole way one by one find none of its code in the processor's caches, since that is larger than
 * they are; side by side they share what is fetched (Larus and Parkes, "Using Cohort Scheduling to Enhance Server
 * Performance", USENIX 2002). Alone, a request waits for nothing but a look at whether there is more.
 */
export class Cohort {
  readonly #soon: Clock["soon"];
  #together: Promise<void> | null = null;

  constructor(soon: Clock["soon"]) {
    this.#soon = soon;
  }

  /** Resolves, for all who have called since it last did, once all that has arrived by now has had its turn. */
  join(): Promise<void> {
    if (this.#together !== null) return this.#together;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#soon(() => {
      this.#together = null;
      resolve();
    });
    this.#together = promise;
    return promise;
  }
}
