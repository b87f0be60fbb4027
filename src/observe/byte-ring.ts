/** Told of a record that makes room: it stands in `view`, from `at` on. */
export type Leaves = (view: DataView, at: number, length: number) => void;

/** Before each record, its length. */
const HEAD_BYTES = 4;

/**
 * Records one behind the other in one piece of memory, the oldest of which make room for the next.
 * However many they are, they are one object to the collector of garbage, and take exactly what they take.
 */
export class ByteRing {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #count = 0;
  /** Where the oldest begins, and where the next will. */
  #first = 0;
  #next = 0;
  /** Where the records behind `#first` end, if others stand at the beginning already; else null. */
  #lapEnd: number | null = null;

  /** @param size Bytes, lengths of records included. */
  constructor(size: number) {
    this.#bytes = new Uint8Array(size);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** What the records take, bytes. */
  get bytes(): number {
    return this.#lapEnd === null
      ? this.#next - this.#first
      : this.#lapEnd - this.#first + this.#next;
  }

  /** Adds a copy of the first `length` bytes of `from`; nothing happens when that is more than all there is. */
  append(from: Uint8Array, length: number, leaves: Leaves): void {
    const taken = HEAD_BYTES + length;
    if (taken > this.#bytes.length) return;
    while (!this.#fits(taken)) this.#dropFirst(leaves);
    this.#view.setUint32(this.#next, length, true);
    // Without a view of them, which would be the only object that a record costs.
    Buffer.prototype.copy.call(from, this.#bytes, this.#next + HEAD_BYTES, 0, length);
    this.#next += taken;
    this.#count += 1;
  }

  /** Calls `see` with each, the oldest first. */
  each(see: Leaves): void {
    let at = this.#first;
    for (let seen = 0; seen < this.#count; seen += 1) {
      if (at === this.#lapEnd) at = 0;
      const length = this.#view.getUint32(at, true);
      see(this.#view, at + HEAD_BYTES, length);
      at += HEAD_BYTES + length;
    }
  }

  /** Whether there is room for the next where it would begin; begins anew at the front where there is. */
  #fits(taken: number): boolean {
    if (this.#lapEnd !== null) return this.#first - this.#next >= taken;
    if (this.#bytes.length - this.#next >= taken) return true;
    if (this.#first < taken) return false;
    this.#lapEnd = this.#next;
    this.#next = 0;
    return true;
  }

  #dropFirst(leaves: Leaves): void {
    const length = this.#view.getUint32(this.#first, true);
    leaves(this.#view, this.#first + HEAD_BYTES, length);
    this.#first += HEAD_BYTES + length;
    this.#count -= 1;
    if (this.#first === this.#lapEnd) {
      this.#first = 0;
      this.#lapEnd = null;
    }
    if (this.#count === 0) {
      this.#first = 0;
      this.#next = 0;
    }
  }
}
