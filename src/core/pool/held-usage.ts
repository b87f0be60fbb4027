import type { LoadSample } from "../engine/load-signals.ts";

/** How much of what was seen remains with every further sample: some twenty count. */
const REMAINS = 0.95;
/** What the mean of all nodes counts at each of them, in requests seen. */
const PRIOR_REQUESTS = 100;

/**
 * How much of its KV cache a node shows in use for every request that we hold there: more where the
 * cache is smaller, or where others send requests too. A ratio of sums: single samples are seconds old,
 * and differ by the prompts that happen to run.
 */
export class HeldUsage {
  #usage = 0;
  #requests = 0;

  /** The gauges moved. @param inFlight Requests that we hold on the node. */
  sampled({ cacheUsage, running, waiting }: LoadSample, inFlight: number): void {
    if (cacheUsage === null || running === 0) return;
    // Those that wait hold nothing yet, and will hold as much as the others. No more than ours are
    // believed: LMDeploy's count drifts upwards.
    const shown = running ?? inFlight;
    const held = shown + Math.min(waiting ?? 0, Math.max(0, inFlight - shown));
    const requests = Math.min(inFlight, held);
    if (requests === 0) return;
    this.#usage = REMAINS * this.#usage + (cacheUsage * held) / shown;
    this.#requests = REMAINS * this.#requests + requests;
  }

  get usage(): number {
    return this.#usage;
  }

  get requests(): number {
    return this.#requests;
  }

  /** Of the KV cache, for a request, fraction. @param mean That of all nodes. */
  perRequest(mean: number): number {
    return (this.#usage + mean * PRIOR_REQUESTS) / (this.#requests + PRIOR_REQUESTS);
  }

  forget(): void {
    this.#usage = 0;
    this.#requests = 0;
  }
}
