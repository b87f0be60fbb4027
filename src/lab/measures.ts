/** What is measured in a run. */

/** One run of one strategy over one trace. Times in s; NaN where nothing was answered. */
export interface Row {
  readonly strategy: string;
  readonly trace: string;
  readonly cluster: string;
  readonly nodes: number;
  readonly model: string;
  readonly seed: number;
  /** Of the proxy. */
  readonly workers: number;
  readonly requests: number;
  /** That got no whole answer: no node, a node that could not hold it, or one that died. */
  readonly refused: number;
  readonly ttft_p50_s: number;
  readonly ttft_p90_s: number;
  readonly ttft_p99_s: number;
  readonly e2e_p50_s: number;
  readonly e2e_p90_s: number;
  readonly e2e_p99_s: number;
  /** Prompt tokens that engines had in their prefix caches, of all, fraction. */
  readonly hit_rate: number;
  /** What one cache without limits would have had. */
  readonly ideal_hit_rate: number;
  /** Requests at the fullest node over those at the mean one, 1 or more: the mean over time. */
  readonly load_spread: number;
  /** Choosing a node, mean, µs; 0 where no clock was given. */
  readonly decision_us: number;
}

/** The value below which `fraction` of them lie, by nearest rank; NaN when there are none. */
export function percentile(sorted: ArrayLike<number>, fraction: number): number {
  const rank = Math.max(0, Math.ceil(fraction * sorted.length) - 1);
  return sorted[rank] ?? Number.NaN;
}

/** A sum of samples of how requests are spread, each with the weight of its mean. */
export class Spread {
  #most = 0;
  #mean = 0;

  add(inFlight: readonly number[]): void {
    if (inFlight.length === 0) return;
    this.#most += Math.max(...inFlight);
    this.#mean += inFlight.reduce((sum, count) => sum + count, 0) / inFlight.length;
  }

  get ratio(): number {
    return this.#mean === 0 ? 1 : this.#most / this.#mean;
  }
}
