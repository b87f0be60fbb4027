/**
 * Counts of observations by upper bound, as a Prometheus histogram has them. An observation costs a
 * short search and two additions, and allocates nothing.
 */
export class Histogram {
  /** Upper bounds, ascending; a last bucket without a bound follows. */
  readonly bounds: readonly number[];
  readonly #counts: Float64Array;
  #sum = 0;

  /** @param bounds Ascending, in the unit that is observed. */
  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.#counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    const { bounds } = this;
    let at = 0;
    while (at < bounds.length && value > (bounds[at] ?? 0)) at += 1;
    this.#counts[at] = (this.#counts[at] ?? 0) + 1;
    this.#sum += value;
  }

  get sum(): number {
    return this.#sum;
  }

  get count(): number {
    return this.#counts.reduce((sum, count) => sum + count, 0);
  }

  /** For each bound, and for none, how many were observed up to it. */
  cumulative(): number[] {
    let sum = 0;
    return Array.from(this.#counts, (count) => {
      sum += count;
      return sum;
    });
  }

  /** The value below which the `fraction` (0 to 1) of all lie, by linear interpolation in its bucket; null without any. */
  quantile(fraction: number): number | null {
    const { count, bounds } = this;
    if (count === 0) return null;
    const rank = fraction * count;
    let below = 0;
    for (let at = 0; at < this.#counts.length; at += 1) {
      const here = this.#counts[at] ?? 0;
      if (here > 0 && below + here >= rank) {
        const from = at === 0 ? 0 : (bounds[at - 1] ?? 0);
        const to = bounds[at] ?? from;
        return from + ((to - from) * (rank - below)) / here;
      }
      below += here;
    }
    return bounds.at(-1) ?? null;
  }
}
