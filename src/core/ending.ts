/** So much of a stream's end is kept at least, bytes: what engines say last, a failure or the tokens used, is shorter. */
export const ENDING_BYTES = 8 * 1024;

/** What says how a stream ended stands in its last events: tokens, a failure, and that it is over. */
const EVENTS = 3;

/** Sizes are multiples of it, bytes. */
const STEP_BYTES = 512;

const LF = 10;
const CR = 13;

/**
 * The end of a stream, wherever its pieces were cut: its last 8 KiB or, where those are shorter, its last three
 * events. Streams are many and their events short: most take 1 or 2 KiB.
 */
export class Ending {
  /** Made when something comes. */
  #kept = new Uint8Array(0);
  #length = 0;

  push(piece: Uint8Array): void {
    const isLong = piece.length > ENDING_BYTES;
    if (isLong) this.#length = 0;
    const last = isLong ? piece.subarray(-ENDING_BYTES) : piece;
    if (this.#length + last.length > this.#kept.length) this.#makeRoom(last.length);
    this.#kept.set(last, this.#length);
    this.#length += last.length;
  }

  /** What is kept, until the next is pushed. */
  get bytes(): Uint8Array {
    return this.#kept.subarray(0, this.#length);
  }

  #makeRoom(bytes: number): void {
    const before = this.#kept;
    const from = Math.max(this.#lastEvents(), this.#length - ENDING_BYTES);
    this.#length -= from;
    // With room for more than the next piece: what stays is not moved for each.
    const size = Math.ceil((1.5 * (this.#length + bytes)) / STEP_BYTES) * STEP_BYTES;
    if (size <= before.length) {
      before.copyWithin(0, from, from + this.#length);
      return;
    }
    this.#kept = new Uint8Array(size);
    this.#kept.set(before.subarray(from, from + this.#length));
  }

  /** Where they begin; 0 when there are fewer. */
  #lastEvents(): number {
    let ends = 0;
    // Behind its last end no event has begun, or one that is cut.
    for (let at = this.#length - 1; at > 0; at -= 1) {
      if (this.#kept[at] !== LF) continue;
      const isBlank =
        this.#kept[at - 1] === LF || (this.#kept[at - 1] === CR && this.#kept[at - 2] === LF);
      if (isBlank && ++ends > EVENTS) return at + 1;
    }
    return 0;
  }
}
