/** A lock in shared memory, for a few µs at a time: who wants it looks again and again. */

/** Whoever holds it has died, or does not run, if it is held for so many looks. */
const MOST_LOOKS = 1_000_000;

export class Lock {
  readonly #cells: Int32Array;
  readonly #at: number;

  /** @param at Which of `cells` it is; 0 when nobody holds it. */
  constructor(cells: Int32Array, at: number) {
    this.#cells = cells;
    this.#at = at;
  }

  /** @param row Of the process that wants it. */
  held<T>(row: number, act: () => T): T {
    for (let looks = 0; !this.#take(row); looks += 1) {
      if (looks === MOST_LOOKS) Atomics.store(this.#cells, this.#at, 0);
    }
    try {
      return act();
    } finally {
      this.free(row);
    }
  }

  /** The process of the row does not hold it any more, or has died. */
  free(row: number): void {
    Atomics.compareExchange(this.#cells, this.#at, row + 1, 0);
  }

  #take(row: number): boolean {
    return Atomics.compareExchange(this.#cells, this.#at, 0, row + 1) === 0;
  }
}
