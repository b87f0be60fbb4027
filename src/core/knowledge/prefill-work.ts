/**
 * The prefill work that stands before a node: prompts that were sent to it and have no first byte yet, in
 * the order in which engines compute them, and how fast it computes them, learned from when first bytes
 * come.
 */
import type { Lease } from "../pool/lease.ts";

/** What was seen counts for this long, ms (e-fold): as long as a node that became slow may stay unnoticed. */
export const FORGETS_IN_MS = 30_000;

/** So much more than expected before a prompt that is still being computed says that the node is slow. */
const LATE = 2;
/** Work that it must have shown before what it takes says something of what it had in its cache, ms. */
const LEAST_BUSY_MS = 1_000;
const FADES_EVERY_MS = 1_000;

/** What was seen when a prompt was computed. */
export interface Took {
  /** Since the node began with it, ms. */
  readonly ms: number;
  /** What those before it had to compute that never tell when they are, bytes. */
  readonly othersBytes: number;
  /** What was expected of this one, bytes. */
  readonly bytes: number;
  /** What the node computed in a ms as far as was known, bytes; null where the time says nothing of this prompt alone. */
  readonly bytesPerMs: number | null;
}

interface Prompt {
  readonly lease: Lease;
  /** Whether its first byte tells when it is computed. */
  readonly streams: boolean;
  /** What of it has to be computed, as far as we know, bytes. */
  readonly bytes: number;
}

export class PrefillWork {
  /** First come, first computed. */
  readonly #prompts: Prompt[] = [];
  /** The first of them: asked for by every choice. */
  #first: Prompt | null = null;
  #queuedBytes = 0;
  /** Since when it has been computing what is first in the line, ms. */
  #sinceMs = 0;
  /** Prompts that came to it, what it computed, and how long it was busy with that; all fade. */
  came = 0;
  doneBytes = 0;
  busyMs = 0;
  #asOfMs = 0;

  /** A prompt of which it has to compute `bytes` is sent to it. */
  sent(lease: Lease, bytes: number, nowMs: number): void {
    this.fade(nowMs);
    this.came += 1;
    const prompt = { lease, streams: lease.asked.stream, bytes };
    if (this.#prompts.push(prompt) === 1) {
      this.#first = prompt;
      this.#sinceMs = nowMs;
    }
    this.#queuedBytes += bytes;
  }

  /** The first byte of its answer came: its prompt is computed. Null where that tells nothing. */
  computed(lease: Lease, nowMs: number): Took | null {
    const place = this.#prompts.findIndex((prompt) => prompt.lease === lease);
    const prompt = this.#prompts[place];
    if (prompt === undefined) return null;
    let othersBytes = 0;
    this.#take(place);
    // Those before it that do not stream are computed as well, and never tell.
    for (let i = place - 1; i >= 0; i -= 1) {
      const before = this.#prompts[i];
      if (before === undefined || before.streams) continue;
      othersBytes += before.bytes;
      this.#take(i);
    }
    const ms = nowMs - this.#sinceMs;
    this.#sinceMs = nowMs;
    if (!lease.asked.stream) return null;
    const isAlone = place === 0 && othersBytes === 0 && this.busyMs > LEAST_BUSY_MS;
    const bytesPerMs = isAlone ? this.doneBytes / this.busyMs : null;
    return { ms, othersBytes, bytes: prompt.bytes, bytesPerMs };
  }

  /** It computed `bytes` in `ms`. */
  did(bytes: number, ms: number, nowMs: number): void {
    this.fade(nowMs);
    this.doneBytes += bytes;
    this.busyMs += ms;
  }

  /** It ended without a first byte. */
  ended(lease: Lease, nowMs: number): void {
    const place = this.#prompts.findIndex((prompt) => prompt.lease === lease);
    if (place < 0) return;
    this.#take(place);
    if (place === 0) this.#sinceMs = nowMs;
  }

  #take(place: number): void {
    const [taken] = this.#prompts.splice(place, 1);
    this.#first = this.#prompts[0] ?? null;
    this.#queuedBytes = this.#first === null ? 0 : this.#queuedBytes - (taken?.bytes ?? 0);
  }

  /** What was seen long ago counts less. */
  fade(nowMs: number): void {
    if (nowMs - this.#asOfMs < FADES_EVERY_MS) return;
    const left = Math.exp((this.#asOfMs - nowMs) / FORGETS_IN_MS);
    this.came *= left;
    this.doneBytes *= left;
    this.busyMs *= left;
    this.#asOfMs = nowMs;
  }

  /**
   * How much it computes in a ms, bytes: what it has shown, and `mean` as if it had shown that for
   * `priorMs`. Already when it takes too long for what it is at, not only afterwards.
   */
  bytesPerMs(nowMs: number, mean: number, priorMs: number): number {
    const bytes = this.doneBytes + mean * priorMs;
    const ms = this.busyMs + priorMs;
    const first = this.#first;
    if (first === null || !first.streams) return bytes / ms;
    const lateMs = nowMs - this.#sinceMs - (LATE * first.bytes * ms) / bytes;
    return lateMs <= 0 ? bytes / ms : bytes / (ms + lateMs);
  }

  /** What stands before a new prompt, bytes, if it computes so many in a ms. */
  queuedBytes(nowMs: number, bytesPerMs: number): number {
    let first = this.#first;
    // Nothing tells when a prompt whose answer does not stream is computed: when it should be.
    while (first !== null && !first.streams) {
      const tookMs = first.bytes / bytesPerMs;
      if (nowMs - this.#sinceMs < tookMs) break;
      this.#sinceMs += tookMs;
      this.#take(0);
      first = this.#first;
    }
    if (first === null) return 0;
    const done = Math.min(first.bytes, (nowMs - this.#sinceMs) * bytesPerMs);
    return this.#queuedBytes - done;
  }
}
