/**
 * Figures, texts and words as bytes, for records that are kept in memory: figures as float64 (NaN for
 * none), texts with their length before them, words of our own code by their number. Only the process
 * that wrote them reads them.
 */

/** Characters of a text; what is longer is cut. */
export const LONGEST_TEXT = 2_048;
/** What a text takes at most, bytes. */
export const TEXT_BYTES = 2 + 2 * LONGEST_TEXT;
/** In place of a length or of a word's number. */
const NONE = 0xffff;

/** Writes one record after the other into memory of its own. */
export class Writer {
  #bytes = new Uint8Array(0);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;
  /** Strategies, outcomes, names of figures: what the code calls them, so there are few. */
  readonly words: string[] = [];
  readonly #numbers = new Map<string, number>();

  /** Begins anew, with room for so many bytes. */
  begin(bytes: number): void {
    this.#at = 0;
    if (bytes <= this.#bytes.length) return;
    this.#bytes = new Uint8Array(bytes);
    this.#view = new DataView(this.#bytes.buffer);
  }

  byte(value: number): void {
    this.#view.setUint8(this.#at, value);
    this.#at += 1;
  }

  short(value: number): void {
    this.#view.setUint16(this.#at, value, true);
    this.#at += 2;
  }

  figure(value: number | null): void {
    this.#view.setFloat64(this.#at, value ?? Number.NaN, true);
    this.#at += 8;
  }

  word(word: string | null): void {
    if (word === null) {
      this.short(NONE);
      return;
    }
    let number = this.#numbers.get(word);
    if (number === undefined) {
      number = this.words.push(word) - 1;
      this.#numbers.set(word, number);
    }
    this.short(number);
  }

  /** One byte a character, or two where one of them needs that; the length's lowest bit says which. */
  text(text: string | null): void {
    if (text === null) {
      this.short(NONE);
      return;
    }
    const length = Math.min(text.length, LONGEST_TEXT);
    const bytes = this.#bytes;
    const from = this.#at + 2;
    let isWide = false;
    for (let at = 0; at < length && !isWide; at += 1) {
      const code = text.charCodeAt(at);
      bytes[from + at] = code;
      isWide = code > 0xff;
    }
    this.short((length << 1) | (isWide ? 1 : 0));
    if (isWide) for (let at = 0; at < length; at += 1) this.short(text.charCodeAt(at));
    else this.#at += length;
  }

  /** How many bytes are written. */
  get length(): number {
    return this.#at;
  }

  /** Writes a byte over one that is written. */
  setByte(at: number, value: number): void {
    this.#view.setUint8(at, value);
  }

  /** What is written stands in these, `length` of them, until the next begins. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }
}

/** Reads what was written, in the order it was. */
export class Reader {
  readonly #view: DataView;
  readonly #words: readonly string[];
  #at: number;

  constructor(view: DataView, at: number, words: readonly string[]) {
    this.#view = view;
    this.#at = at;
    this.#words = words;
  }

  byte(): number {
    this.#at += 1;
    return this.#view.getUint8(this.#at - 1);
  }

  flag(): boolean {
    return this.byte() === 1;
  }

  short(): number {
    this.#at += 2;
    return this.#view.getUint16(this.#at - 2, true);
  }

  figure(): number {
    this.#at += 8;
    return this.#view.getFloat64(this.#at - 8, true);
  }

  figureOrNull(): number | null {
    const figure = this.figure();
    return Number.isNaN(figure) ? null : figure;
  }

  word(): string | null {
    return this.#words[this.short()] ?? null;
  }

  text(): string | null {
    const head = this.short();
    return head === NONE ? null : this.#characters(head >> 1, (head & 1) === 1);
  }

  /** Whether the next text is `text`; it is read no further. */
  isText(text: string): boolean {
    const head = this.short();
    const length = Math.min(text.length, LONGEST_TEXT);
    if (head === NONE || head >> 1 !== length) return false;
    const isWide = (head & 1) === 1;
    for (let at = 0; at < length; at += 1) {
      if ((isWide ? this.short() : this.byte()) !== text.charCodeAt(at)) return false;
    }
    return true;
  }

  string(): string {
    return this.text() ?? "";
  }

  #characters(length: number, isWide: boolean): string {
    let text = "";
    for (let at = 0; at < length; at += 1) {
      text += String.fromCharCode(isWide ? this.short() : this.byte());
    }
    return text;
  }
}
