/** A failed answer weighs as one request in flight at first, and e-folds in this time, ms. */
const DECAY_MS = 10_000;
/** Less is nothing: among idle nodes, whatever is left of a charge would decide. */
const LEAST = 0.1;
/** All of them weigh at most half of what the busiest peer has in flight, and so many requests more, ... */
const CEILING_SHARE = 0.5;
const CEILING = 2;
/** ... and for each failure in a row, of so many, all of it once more; that fades in this time, ms. */
const MOST_IN_A_ROW = 5;
const ROW_FADES_MS = 2_000;

/**
 * What a node is charged for failed answers, in requests in flight: without it, failing fast would
 * look like being idle. It has a ceiling, since an outage of half a second fails hundreds of requests,
 * and nobody is to be avoided for half a minute after that.
 */
export class Charges {
  #sum = 0;
  #atMs = 0;
  #inARow = 0;
  #busiest = 0;

  /** An answer failed. @param busiest What the busiest peer has in flight. */
  add(nowMs: number, busiest: number): void {
    this.#inARow = Math.min(this.#inARow + 1, MOST_IN_A_ROW);
    this.#busiest = busiest;
    this.#sum = Math.min(this.#faded(nowMs) + 1, this.#ceiling(0));
    this.#atMs = nowMs;
  }

  answeredWell(): void {
    this.#inARow = 0;
  }

  clear(): void {
    this.#sum = 0;
    this.#inARow = 0;
  }

  /** What all of them weigh now. */
  at(nowMs: number): number {
    if (this.#sum === 0) return 0;
    const faded = this.#faded(nowMs);
    if (faded < LEAST) this.#sum = 0;
    return faded < LEAST ? 0 : Math.min(faded, this.#ceiling(nowMs - this.#atMs));
  }

  #faded(nowMs: number): number {
    return this.#sum * Math.exp((this.#atMs - nowMs) / DECAY_MS);
  }

  #ceiling(sinceMs: number): number {
    const row = this.#inARow * Math.exp(-sinceMs / ROW_FADES_MS);
    return CEILING + this.#busiest * (CEILING_SHARE + row);
  }
}
