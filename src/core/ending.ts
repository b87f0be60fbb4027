/** So much of a stream's end is kept, bytes: what engines say last, a failure or the tokens used, is shorter. */
export const ENDING_BYTES = 8 * 1024;

/** So many pieces are kept as they came before they are joined. */
const MOST_PIECES = 64;

/**
 * The last bytes of a stream, wherever its pieces were cut. Pieces are kept as they came and joined now and
 * then: to copy each as it comes, for hundreds of streams in turns, costs a piece more than counting it.
 */
export class Ending {
  #pieces: Uint8Array[] = [];
  #length = 0;

  push(piece: Uint8Array): void {
    // A part of a long one would hold the whole of it.
    const last =
      piece.length <= ENDING_BYTES ? piece : new Uint8Array(piece.subarray(-ENDING_BYTES));
    this.#pieces.push(last);
    this.#length += last.length;
    if (this.#pieces.length < MOST_PIECES && this.#length < 2 * ENDING_BYTES) return;
    this.#pieces = [this.bytes];
    this.#length = Math.min(this.#length, ENDING_BYTES);
  }

  /** What is kept, in its order. */
  get bytes(): Uint8Array {
    return Buffer.concat(this.#pieces).subarray(-ENDING_BYTES);
  }
}
