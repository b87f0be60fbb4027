/** Many whole numbers, 4 bytes each: in an array of JavaScript's they would take 8, and 16 or more as objects. */

const CHUNK_SHIFT = 16;
const CHUNK = 1 << CHUNK_SHIFT;
const WITHIN = CHUNK - 1;

/** Whole numbers from 0 to 2^32 - 1, as many as there are. It grows without being copied. */
export class Column {
  readonly #chunks: Uint32Array[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(value: number): void {
    const at = this.#length & WITHIN;
    if (at === 0) this.#chunks.push(new Uint32Array(CHUNK));
    const chunk = this.#chunks.at(-1);
    if (chunk !== undefined) chunk[at] = value;
    this.#length += 1;
  }

  /** 0 for what was not pushed. */
  at(place: number): number {
    return this.#chunks[place >> CHUNK_SHIFT]?.[place & WITHIN] ?? 0;
  }

  /** Those from place `from` up to place `to`. */
  slice(from: number, to: number): number[] {
    return Array.from({ length: to - from }, (_, i) => this.at(from + i));
  }
}
