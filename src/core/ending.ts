/** So much of a stream's end is kept, bytes: what engines say last, a failure or the tokens used, is shorter. */
export const ENDING_BYTES = 8 * 1024;

/** The last bytes of a stream, wherever its pieces were cut. */
export class Ending {
  /** A ring; made when something comes. */
  #kept = new Uint8Array(0);
  #at = 0;
  #isFull = false;

  push(piece: Uint8Array): void {
    if (this.#kept.length === 0) this.#kept = new Uint8Array(ENDING_BYTES);
    const last = piece.length <= ENDING_BYTES ? piece : piece.subarray(-ENDING_BYTES);
    const room = ENDING_BYTES - this.#at;
    if (last.length < room) {
      this.#kept.set(last, this.#at);
      this.#at += last.length;
      return;
    }
    this.#kept.set(last.subarray(0, room), this.#at);
    this.#kept.set(last.subarray(room), 0);
    this.#at = last.length - room;
    this.#isFull = true;
  }

  /** What is kept, in its order. */
  get bytes(): Uint8Array {
    const newest = this.#kept.subarray(0, this.#at);
    return this.#isFull ? Buffer.concat([this.#kept.subarray(this.#at), newest]) : newest;
  }
}
