/** Told of a record that makes room: it stands in `view`, from `at` on. */
export type Leaves = (view: DataView, at: number, length: number) => void;

/** Before each record, its length. */
const HEAD_BYTES = 4;

/** What it begins with, bytes: who sees few records, or has just started, needs no more. */
const LEAST_BYTES = 64 * 1024;

/**
 * Records one behind the other in one piece of memory, the oldest of which make room for the next.
 * However many they are, they are one object to the collector of garbage, and take exactly what they take.
 */
export class ByteRing {
  readonly #mostBytes: number;
  #bytes: Uint8Array;
  #view: DataView;
  #count = 0;
  /** Where the oldest begins, and where the next will. */
  #first = 0;
  #next = 0;
  /** Where the records behind `#first` end, if others stand at the beginning already; else null. */
  #lapEnd: number | null = null;

  /** @param mostBytes What it takes once so much was added, lengths of records included. */
  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
    this.#bytes = new Uint8Array(Math.min(mostBytes, LEAST_BYTES));
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
    if (taken > this.#mostBytes) return;
    while (!this.#fits(taken)) {
      if (this.#bytes.length < this.#mostBytes) this.#grow();
      else this.#dropFirst(leaves);
    }
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

  /** None has left yet: they all stand in one piece, from the front. */
  #grow(): void {
    const before = this.#bytes;
    this.#bytes = new Uint8Array(Math.min(this.#mostBytes, 2 * before.length));
    this.#bytes.set(before);
    this.#view = new DataView(this.#bytes.buffer);
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
