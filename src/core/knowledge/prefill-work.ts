/**
 * The prefill work that stands before each node: prompts that were sent to it and have no first byte yet, in
 * the order in which engines compute them, and how fast it computes them, learned from when first bytes
 * come.
 */
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

/** A prompt that a node was sent. */
export interface Prompt {
  readonly slot: number;
  /** Whether its first byte tells when it is computed. */
  readonly streams: boolean;
  /** What of it has to be computed, as far as we know, bytes. */
  readonly bytes: number;
}

/** Instead of the bytes of a first prompt: there is none. */
const NONE = -1;

/**
 * Of all nodes, by slot. What a choice reads of every one of them lies side by side: among 256 that takes
 * a third of the time that it takes to go from object to object.
 */
export class PrefillWork {
  /** First come, first computed. */
  readonly #prompts: Prompt[][] = [];
  #queuedBytes = new Float64Array(0);
  /** Of what is first in the line: what has to be computed of it, whether it streams, and since when it is. */
  #firstBytes = new Float64Array(0);
  #firstStreams = new Uint8Array(0);
  #sinceMs = new Float64Array(0);
  /** Prompts that came to it, what it computed, and how long it was busy with that; all fade. */
  came = new Float64Array(0);
  doneBytes = new Float64Array(0);
  busyMs = new Float64Array(0);
  #asOfMs = new Float64Array(0);

  /** The node of this slot is another one from now on. */
  reset(slot: number): void {
    if (slot >= this.came.length) this.#grow(2 * slot + 16);
    this.#prompts[slot] = [];
    this.#queuedBytes[slot] = 0;
    this.#firstBytes[slot] = NONE;
    this.#sinceMs[slot] = 0;
    this.came[slot] = 0;
    this.doneBytes[slot] = 0;
    this.busyMs[slot] = 0;
    this.#asOfMs[slot] = 0;
  }

  #grow(slots: number): void {
    this.#queuedBytes = longer(this.#queuedBytes, slots);
    this.#firstBytes = longer(this.#firstBytes, slots);
    const streams = new Uint8Array(slots);
    streams.set(this.#firstStreams);
    this.#firstStreams = streams;
    this.#sinceMs = longer(this.#sinceMs, slots);
    this.came = longer(this.came, slots);
    this.doneBytes = longer(this.doneBytes, slots);
    this.busyMs = longer(this.busyMs, slots);
    this.#asOfMs = longer(this.#asOfMs, slots);
  }

  #of(slot: number): Prompt[] {
    return this.#prompts[slot] ?? [];
  }

  sent(prompt: Prompt, nowMs: number): void {
    const { slot } = prompt;
    this.fade(slot, nowMs);
    this.came[slot] = (this.came[slot] ?? 0) + 1;
    if (this.#of(slot).push(prompt) === 1) {
      this.#sinceMs[slot] = nowMs;
      this.#first(slot);
    }
    this.#queuedBytes[slot] = (this.#queuedBytes[slot] ?? 0) + prompt.bytes;
  }

  /** What is first in the line now. */
  #first(slot: number): void {
    const first = this.#of(slot)[0];
    this.#firstBytes[slot] = first === undefined ? NONE : first.bytes;
    this.#firstStreams[slot] = first?.streams === true ? 1 : 0;
  }

  /** The first byte of its answer came: its prompt is computed. Null where that tells nothing. */
  computed(prompt: Prompt, nowMs: number): Took | null {
    const { slot } = prompt;
    const prompts = this.#of(slot);
    const place = prompts.indexOf(prompt);
    if (place < 0) return null;
    let othersBytes = 0;
    this.#take(slot, place);
    // Those before it that do not stream are computed as well, and never tell.
    for (let i = place - 1; i >= 0; i -= 1) {
      const before = prompts[i];
      if (before === undefined || before.streams) continue;
      othersBytes += before.bytes;
      this.#take(slot, i);
    }
    const ms = nowMs - (this.#sinceMs[slot] ?? nowMs);
    this.#sinceMs[slot] = nowMs;
    if (!prompt.streams) return null;
    const busyMs = this.busyMs[slot] ?? 0;
    const isAlone = place === 0 && othersBytes === 0 && busyMs > LEAST_BUSY_MS;
    const bytesPerMs = isAlone ? (this.doneBytes[slot] ?? 0) / busyMs : null;
    return { ms, othersBytes, bytes: prompt.bytes, bytesPerMs };
  }

  /** The node computed `bytes` in `ms`. */
  did(slot: number, bytes: number, ms: number, nowMs: number): void {
    this.fade(slot, nowMs);
    this.doneBytes[slot] = (this.doneBytes[slot] ?? 0) + bytes;
    this.busyMs[slot] = (this.busyMs[slot] ?? 0) + ms;
  }

  /** It ended without a first byte. */
  ended(prompt: Prompt, nowMs: number): void {
    const { slot } = prompt;
    const place = this.#of(slot).indexOf(prompt);
    if (place < 0) return;
    this.#take(slot, place);
    if (place === 0) this.#sinceMs[slot] = nowMs;
  }

  #take(slot: number, place: number): void {
    const prompts = this.#of(slot);
    // Mostly it is the first one's turn, and a splice leaves an array behind.
    const taken = place === 0 ? prompts.shift() : prompts.splice(place, 1)[0];
    const left = (this.#queuedBytes[slot] ?? 0) - (taken?.bytes ?? 0);
    this.#queuedBytes[slot] = prompts.length === 0 ? 0 : left;
    this.#first(slot);
  }

  /** What was seen long ago counts less. */
  fade(slot: number, nowMs: number): void {
    const sinceMs = nowMs - (this.#asOfMs[slot] ?? nowMs);
    if (sinceMs < FADES_EVERY_MS) return;
    const left = Math.exp(-sinceMs / FORGETS_IN_MS);
    this.came[slot] = (this.came[slot] ?? 0) * left;
    this.doneBytes[slot] = (this.doneBytes[slot] ?? 0) * left;
    this.busyMs[slot] = (this.busyMs[slot] ?? 0) * left;
    this.#asOfMs[slot] = nowMs;
  }

  /**
   * How much a node computes in a ms, bytes: what it has shown, and `mean` as if it had shown that for
   * `priorMs`. Already when it takes too long for what it is at, not only afterwards.
   */
  bytesPerMs(slot: number, nowMs: number, mean: number, priorMs: number): number {
    const bytes = (this.doneBytes[slot] ?? 0) + mean * priorMs;
    const ms = (this.busyMs[slot] ?? 0) + priorMs;
    const first = this.#firstBytes[slot] ?? NONE;
    if (first === NONE || this.#firstStreams[slot] === 0) return bytes / ms;
    const lateMs = nowMs - (this.#sinceMs[slot] ?? nowMs) - (LATE * first * ms) / bytes;
    return lateMs <= 0 ? bytes / ms : bytes / (ms + lateMs);
  }

  /** What stands before a new prompt, bytes, if the node computes so many in a ms. */
  queuedBytes(slot: number, nowMs: number, bytesPerMs: number): number {
    let first = this.#firstBytes[slot] ?? NONE;
    // Nothing tells when a prompt whose answer does not stream is computed: when it should be.
    while (first !== NONE && this.#firstStreams[slot] === 0) {
      const tookMs = first / bytesPerMs;
      const sinceMs = this.#sinceMs[slot] ?? 0;
      if (nowMs - sinceMs < tookMs) break;
      this.#sinceMs[slot] = sinceMs + tookMs;
      this.#take(slot, 0);
      first = this.#firstBytes[slot] ?? NONE;
    }
    if (first === NONE) return 0;
    const done = Math.min(first, (nowMs - (this.#sinceMs[slot] ?? nowMs)) * bytesPerMs);
    return (this.#queuedBytes[slot] ?? 0) - done;
  }
}

function longer(before: Float64Array, length: number): Float64Array<ArrayBuffer> {
  const array = new Float64Array(length);
  array.set(before);
  return array;
}
