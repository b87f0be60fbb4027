/** Values below this are kept exactly; above, with an error of at most one part in this many. */
const SUB_BUCKETS = 128;
const SUB_BITS = 7;
const LARGEST = 2 ** 31 - 1;
const SIZE = (31 - SUB_BITS + 1) * SUB_BUCKETS;

/** `[bucket, count]` of every bucket that is not empty. */
export type SparseHistogram = readonly (readonly [number, number])[];

/**
 * Counts of whole, non-negative values (here: microseconds up to 2^31, 35 minutes) in buckets whose
 * width grows with the value: log-linear, as HdrHistogram has it. Larger values land in the last
 * bucket. Recording allocates nothing.
 */
export class Histogram {
  readonly #counts = new Float64Array(SIZE);
  #total = 0;
  #largest = 0;

  get count(): number {
    return this.#total;
  }

  /** The largest value recorded, exactly; 0 when empty. */
  get max(): number {
    return this.#largest;
  }

  record(value: number): void {
    const whole = value < 0 ? 0 : value > LARGEST ? LARGEST : value | 0;
    const bucket = bucketOf(whole);
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#total++;
    if (whole > this.#largest) this.#largest = whole;
  }

  /**
   * The value that a `share` (0 to 1) of all recorded values does not exceed, at most 1/128 too
   * high and never too low; NaN when nothing was recorded.
   */
  quantile(share: number): number {
    if (this.#total === 0) return Number.NaN;
    const rank = Math.max(1, Math.ceil(share * this.#total));
    let seen = 0;
    for (let bucket = 0; bucket < SIZE; bucket++) {
      seen += this.#counts[bucket] ?? 0;
      if (seen >= rank) return Math.min(highestOf(bucket), this.#largest);
    }
    return this.#largest;
  }

  merge(other: SparseHistogram): this {
    for (const [bucket, count] of other) {
      this.#counts[bucket] = (this.#counts[bucket] ?? 0) + count;
      this.#total += count;
      this.#largest = Math.max(this.#largest, highestOf(bucket));
    }
    return this;
  }

  sparse(): SparseHistogram {
    const filled: [number, number][] = [];
    for (let bucket = 0; bucket < SIZE; bucket++) {
      const count = this.#counts[bucket] ?? 0;
      if (count > 0) filled.push([bucket, count]);
    }
    return filled;
  }

  clear(): void {
    this.#counts.fill(0);
    this.#total = 0;
    this.#largest = 0;
  }
}

function bucketOf(value: number): number {
  if (value < SUB_BUCKETS) return value;
  const octave = 31 - Math.clz32(value) - SUB_BITS;
  return octave * SUB_BUCKETS + (value >>> octave);
}

/** The largest value that falls into a bucket. */
function highestOf(bucket: number): number {
  if (bucket < 2 * SUB_BUCKETS) return bucket;
  const octave = Math.floor(bucket / SUB_BUCKETS) - 1;
  const step = bucket - octave * SUB_BUCKETS;
  return (step + 1) * 2 ** octave - 1;
}
