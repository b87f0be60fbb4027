/**
 * A lock in shared memory, for some µs at a time. Nobody takes it from a holder that lives, however long
 * that stands still in the middle: whoever wants it gives up instead. A holder that has died is told
 * of by whoever saw it end.
 */

/** Looks in a row: as long as most holders need. */
const LOOKS = 1_000;
/** Nobody gives up before, ms: the holder gets the processor meanwhile, 1 ms at a time. */
export const PATIENCE_MS = 250;

/** The holder's row and one, and then how often the lock was taken, as a count that goes round. */
const ROW_BITS = 14;
const ROWS = 2 ** ROW_BITS;
const TIMES = 2 ** (31 - ROW_BITS);

export class Lock {
  readonly #cells: Int32Array;
  readonly #at: number;
  #times = 0;
  /** The holder that this process has waited for in vain: not again. */
  #stuck = 0;

  /** @param at Which of `cells` it is; 0 when nobody holds it. */
  constructor(cells: Int32Array, at: number) {
    this.#cells = cells;
    this.#at = at;
  }

  /**
   * @param row Of the process that wants it.
   * @returns false when its holder stands still; nothing was done then
   */
  held(row: number, act: () => void): boolean {
    this.#times = (this.#times + 1) % TIMES;
    const mine = this.#times * ROWS + row + 1;
    if (!this.#take(mine)) return false;
    try {
      act();
    } finally {
      Atomics.compareExchange(this.#cells, this.#at, mine, 0);
    }
    return true;
  }

  /** The process of the row has died. */
  free(row: number): void {
    const holder = Atomics.load(this.#cells, this.#at);
    if (holder % ROWS === row + 1) Atomics.compareExchange(this.#cells, this.#at, holder, 0);
  }

  #take(mine: number): boolean {
    let holder = this.#look(mine);
    for (let look = 0; holder !== 0 && look < LOOKS; look += 1) holder = this.#look(mine);
    for (let rest = 0; holder !== 0 && holder !== this.#stuck && rest < PATIENCE_MS; rest += 1) {
      // Nothing else wakes up: Atomics.wait takes no memory that was mapped.
      Bun.sleepSync(1);
      holder = this.#look(mine);
    }
    this.#stuck = holder;
    return holder === 0;
  }

  /** Takes it if it is free; who holds it else, and 0 for oneself. */
  #look(mine: number): number {
    return Atomics.compareExchange(this.#cells, this.#at, 0, mine);
  }
}
