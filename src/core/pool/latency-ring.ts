/** The last latencies of a node, in a fixed TypedArray ring with a running sum: O(1) to add and to average. */
export class LatencyRing {
  readonly #values: Float64Array;
  #count = 0;
  #next = 0;
  #sum = 0;

  /** @param capacity How many latencies are kept, 1 or more; LMDeploy's proxy keeps 15. */
  constructor(capacity = 15) {
    this.#values = new Float64Array(capacity);
  }

  /** @param latencyMs From the request's start to the answer's last byte, ms, 0 or more. */
  add(latencyMs: number): void {
    const slot = this.#next;
    this.#sum += latencyMs - (this.#values[slot] ?? 0);
    this.#values[slot] = latencyMs;
    this.#next = (slot + 1) % this.#values.length;
    this.#count = Math.min(this.#count + 1, this.#values.length);
    // Adding and subtracting floats drifts; once a lap the sum is made anew.
    if (this.#next === 0) this.#sum = this.#values.reduce((sum, value) => sum + value, 0);
  }

  /** Forgets all. */
  clear(): void {
    this.#values.fill(0);
    this.#count = 0;
    this.#next = 0;
    this.#sum = 0;
  }

  /** How many are held. */
  get size(): number {
    return this.#count;
  }

  /** Mean of the latencies held, ms, or null while there are none. */
  get meanMs(): number | null {
    return this.#count === 0 ? null : this.#sum / this.#count;
  }

  /** Their median, ms, of two in the middle the mean; null while there are none. */
  get medianMs(): number | null {
    const sorted = this.#values.slice(0, this.#count).sort();
    const upper = sorted[sorted.length >> 1];
    const lower = sorted[(sorted.length - 1) >> 1];
    return upper === undefined || lower === undefined ? null : (upper + lower) / 2;
  }

  /** The latencies held, ms, oldest first. */
  toArray(): number[] {
    const start = this.#count < this.#values.length ? 0 : this.#next;
    return Array.from(
      { length: this.#count },
      (_, i) => this.#values[(start + i) % this.#values.length] ?? 0,
    );
  }
}
