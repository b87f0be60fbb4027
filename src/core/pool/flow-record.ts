/** Streams that are kept of each node. */
const SIZE = 64;

/** What of a lease is needed here. */
interface Flown {
  readonly asked: { readonly stream: boolean };
  readonly firstByteAtMs: number | null;
  readonly lastPieceAtMs: number;
  readonly longestGapMs: number;
  readonly pausedMs: number;
}

/** How the streams of a node have flowed that ended well, from the first word to the last. In rings of fixed size. */
export class FlowRecord {
  readonly #atMs = new Float64Array(SIZE).fill(Number.NEGATIVE_INFINITY);
  readonly #tookMs = new Float64Array(SIZE);
  readonly #longestGapMs = new Float64Array(SIZE);
  readonly #pausedMs = new Float64Array(SIZE);
  #next = 0;
  /** When something last showed that the node goes on with what it has begun, as far as was looked, ms. */
  atMs = Number.NEGATIVE_INFINITY;

  /** An answer has come to its end. */
  ended(
    { asked, firstByteAtMs, lastPieceAtMs, longestGapMs, pausedMs }: Flown,
    nowMs: number,
  ): void {
    this.atMs = nowMs;
    if (firstByteAtMs === null || !asked.stream) return;
    const lastGapMs = nowMs - lastPieceAtMs;
    const at = this.#next;
    this.#atMs[at] = nowMs;
    this.#tookMs[at] = nowMs - firstByteAtMs;
    this.#longestGapMs[at] = Math.max(longestGapMs, lastGapMs);
    this.#pausedMs[at] = pausedMs + lastGapMs;
    this.#next = (at + 1) % SIZE;
  }

  /** Calls `each` for those that ended after `sinceMs`. */
  each(
    sinceMs: number,
    each: (tookMs: number, longestGapMs: number, pausedMs: number) => void,
  ): void {
    for (let at = 0; at < SIZE; at += 1) {
      if ((this.#atMs[at] ?? 0) <= sinceMs) continue;
      each(this.#tookMs[at] ?? 0, this.#longestGapMs[at] ?? 0, this.#pausedMs[at] ?? 0);
    }
  }

  clear(): void {
    this.#atMs.fill(Number.NEGATIVE_INFINITY);
    this.#next = 0;
    this.atMs = Number.NEGATIVE_INFINITY;
  }
}
