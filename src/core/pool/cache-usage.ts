import { gaugesRefreshMs } from "../engine/kinds.ts";
import type { LoadSample } from "../engine/load-signals.ts";

/** What a request is taken to occupy until there is something to learn from, fraction of the KV cache. */
export const DEFAULT_CACHE_SHARE = 0.02;
/** How much one new observation moves the learned share. */
const LEARNING_RATE = 0.3;
/**
 * A request that was sent since the sample and has ended again fades out in this time (e-fold): it
 * must count, or one idle node would get everything, but not until the next sample. Gauges of
 * different nodes are refreshed at different times, and a node whose count has just been set back
 * to nothing would draw all requests. Simulated, 20 short requests a second on 4 nodes: the fullest
 * has 2.0 times the mean in flight without fading, 1.4 times with it.
 */
const ENDED_FADES_MS = 2_000;

/**
 * Estimates a node's KV-cache usage now from a sample that is seconds old: the sample plus a learned
 * share for the requests sent since. Without this, everything between two polls goes to one node.
 */
export class CacheUsage {
  #sample: LoadSample | null = null;
  #sampledAtMs = 0;
  /** Since when the gauges have shown these same values: they may not have been refreshed since. */
  #unchangedSinceMs = 0;
  /** Requests sent from then on are not in the sample, ms. */
  #countsFromMs = Number.POSITIVE_INFINITY;
  /** Those of them that are open. */
  #open = 0;
  /** Those of them that have ended, fading out; as of `#endedAtMs`. */
  #ended = 0;
  #endedAtMs = 0;
  #share = DEFAULT_CACHE_SHARE;
  #learned = false;

  /** A request was sent to the node. */
  started(): void {
    this.#open += 1;
  }

  /** A request that was sent at `startedAtMs` has ended. */
  ended(startedAtMs: number, nowMs: number): void {
    if (startedAtMs < this.#countsFromMs) return;
    this.#open -= 1;
    this.#ended = this.#endedAt(nowMs) + 1;
    this.#endedAtMs = nowMs;
  }

  #endedAt(nowMs: number): number {
    return this.#ended === 0
      ? 0
      : this.#ended * Math.exp((this.#endedAtMs - nowMs) / ENDED_FADES_MS);
  }

  /**
   * The engine was polled.
   * @param nowMs When the sample was asked for.
   * @param open Open requests that were sent since it was asked for.
   * @param refreshMs How long its gauges may show the same although its load changed, ms.
   * @returns Whether the gauges are known to have been brought up to date.
   */
  sampled(
    sample: LoadSample,
    nowMs: number,
    open: number,
    refreshMs = gaugesRefreshMs(null),
  ): boolean {
    const previous = this.#sample;
    const stale =
      previous !== null &&
      previous.cacheUsage === sample.cacheUsage &&
      previous.running === sample.running &&
      previous.waiting === sample.waiting &&
      nowMs - this.#unchangedSinceMs < refreshMs;
    this.#sample = sample;
    this.#sampledAtMs = nowMs;
    if (stale) return false;
    this.#unchangedSinceMs = nowMs;
    this.#countsFromMs = nowMs;
    this.#open = open;
    this.#ended = 0;
    this.#learn(sample);
    return true;
  }

  #learn({ cacheUsage, running }: LoadSample): void {
    if (cacheUsage === null || running === null || running < 1 || cacheUsage <= 0) return;
    const observed = Math.min(cacheUsage / running, 1);
    this.#share = this.#learned ? this.#share + LEARNING_RATE * (observed - this.#share) : observed;
    this.#learned = true;
  }

  /** Whether a sample has shown what a request occupies. */
  get hasLearned(): boolean {
    return this.#learned;
  }

  /** What one request is expected to occupy, fraction of the KV cache, above 0. */
  get share(): number {
    return this.#share;
  }

  /** The last sample, whatever its age, or null. */
  get sample(): LoadSample | null {
    return this.#sample;
  }

  /** Age of the last sample, ms, or null without one. */
  ageMs(nowMs: number): number | null {
    return this.#sample === null ? null : nowMs - this.#sampledAtMs;
  }

  /**
   * Usage expected now, fraction (above 1 when more was sent than fits), or null when the last
   * sample is `maxAgeMs` old or older, or shows no usage.
   * @param share What a request sent since the sample is taken to occupy, fraction.
   * @param inFlight Requests that are open on the node: those of which the sample knows nothing were sent
   * since, or stand before an engine whose gauges stand still.
   */
  expected(nowMs: number, maxAgeMs: number, share = this.#share, inFlight = 0): number | null {
    const usage = this.#sample?.cacheUsage ?? null;
    if (usage === null || nowMs - this.#sampledAtMs >= maxAgeMs) return null;
    const sent = this.#open + this.#endedAt(nowMs);
    return usage + Math.max(sent, this.#unseen(inFlight)) * share;
  }

  #unseen(inFlight: number): number {
    const { running = null, waiting = null } = this.#sample ?? {};
    return running === null ? 0 : inFlight - running - (waiting ?? 0);
  }

  /** The engine behind the node is another process now: nothing known of it holds. */
  forget(): void {
    this.#sample = null;
    this.#countsFromMs = Number.POSITIVE_INFINITY;
  }
}
