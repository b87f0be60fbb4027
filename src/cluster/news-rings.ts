/**
 * What workers tell each other of prompts and answers, in memory that all of them have mapped: a ring for
 * each row, which nobody else writes, and which everybody reads when it has time. Whoever reads too late
 * misses what was written over, notices that, and begins anew from there: it knows a little less for a while.
 *
 * A ring is how many numbers were written to it so far (a count that goes round), whose it is since when, and
 * the last numbers. A record is its length in numbers, its kind, and what belongs to that.
 */
import type { Clock } from "../core/clock.ts";
import type { PromptNews, SentNews } from "../core/knowledge/prompt-news.ts";

/** Numbers of a ring: records of some 1,000 prompts of 8 KiB. */
const NUMBERS = 2 ** 17;
const MASK = NUMBERS - 1;
/** The longest record. What is so near to being written over may already be. */
const LONGEST = 1_024;
const WRITTEN = 0;
const WHOSE = 1;
/** How many were there when it became its: whoever notices that later reads from there on. */
const FROM = 2;
const HEAD = 16;
/** Zero: memory begins so. */
const NOBODY = 0;

const SENT = 1;
const COMPUTED = 2;
const ENDED = 3;
const ANSWERED = 4;

/** A length in ms is kept in parts of so many to a ms. */
const PARTS = 16;
/** The largest number. */
const MOST = 2 ** 31 - 1;

export function newsBytes(rows: number): number {
  return rows * (HEAD + NUMBERS) * 4;
}

/** Told what another worker did. */
export interface Hears extends PromptNews {
  /** The node of that slot answered it well, to the end, in so many ms. */
  answered(slot: number, latencyMs: number): void;
  /** It is another one now, or some of what it said was missed. */
  missed(): void;
}

/** The clocks of a process: what one says by its wall clock, another hears by its own monotonic one. */
export type Clocks = Pick<Clock, "now" | "wallMs">;

export class NewsRings {
  readonly rows: number;
  readonly #cells: Int32Array;

  /** @param memory As long as `newsBytes` says, shared by all, and zero at first. */
  constructor({ buffer, byteOffset }: Uint8Array, rows: number) {
    this.rows = rows;
    this.#cells = new Int32Array(buffer, byteOffset, rows * (HEAD + NUMBERS));
  }

  /** @param whose Not 0, and not that of anybody who had the row before. */
  writer(row: number, whose: number, clocks: Clocks): NewsWriter {
    const ring = this.#ring(row);
    Atomics.store(ring, FROM, Atomics.load(ring, WRITTEN));
    Atomics.store(ring, WHOSE, whose);
    return new NewsWriter(ring, clocks);
  }

  reader(row: number, clocks: Clocks): NewsReader {
    return new NewsReader(this.#ring(row), clocks);
  }

  /** Nobody writes it any more. */
  clear(row: number): void {
    Atomics.store(this.#ring(row), WHOSE, NOBODY);
  }

  /** Head and numbers. */
  #ring(row: number): Int32Array {
    const from = row * (HEAD + NUMBERS);
    return this.#cells.subarray(from, from + HEAD + NUMBERS);
  }
}

/** What one worker writes. */
export class NewsWriter implements PromptNews {
  readonly #ring: Int32Array;
  readonly #clocks: Clocks;
  #written: number;

  constructor(ring: Int32Array, clocks: Clocks) {
    this.#ring = ring;
    this.#clocks = clocks;
    this.#written = Atomics.load(ring, WRITTEN);
  }

  sent({ id, slot, streams, bytes, promptBytes, pieces, blocks }: SentNews, atMs: number): void {
    const before = 9 + 2 * pieces.length;
    // Of prompts so long the end is left out, which nobody but a copy of them has.
    const count = Math.min(blocks.length, LONGEST - before);
    this.#begin(before + count, SENT, id);
    this.#put(slot);
    this.#put(streams ? 1 : 0);
    this.#put(bytes);
    this.#put(promptBytes);
    this.#put(pieces.length);
    for (const { end, usedAtMs } of pieces) {
      this.#put(end);
      this.#put(Math.min(MOST, atMs - usedAtMs));
    }
    for (let i = 0; i < count; i += 1) this.#put(blocks[i] ?? 0);
    this.#end();
  }

  computed(id: number, bytes: number, ms: number): void {
    this.#begin(6, COMPUTED, id);
    this.#put(bytes);
    this.#put(Math.min(MOST, ms * PARTS));
    this.#end();
  }

  ended(id: number, isAnswered: boolean): void {
    this.#begin(5, ENDED, id);
    this.#put(isAnswered ? 1 : 0);
    this.#end();
  }

  answered(slot: number, latencyMs: number): void {
    this.#begin(5, ANSWERED, slot);
    this.#put(Math.min(MOST, latencyMs * PARTS));
    this.#end();
  }

  #begin(length: number, kind: number, id: number): void {
    this.#put(length);
    this.#put(kind);
    this.#put(id);
    this.#put(this.#clocks.wallMs());
  }

  #put(value: number): void {
    // What has more than 32 bits loses those above: hashes are of 32 without a sign, times go round.
    this.#ring[HEAD + (this.#written & MASK)] = value;
    this.#written = (this.#written + 1) | 0;
  }

  /** Now it may be read. */
  #end(): void {
    Atomics.store(this.#ring, WRITTEN, this.#written);
  }
}

/** What one worker reads of another's. */
export class NewsReader {
  readonly #ring: Int32Array;
  readonly #clocks: Clocks;
  readonly #record = new Int32Array(LONGEST);
  #read: number;
  #whose: number;
  /** What is not read yet was written since: all before had been read then, ms. */
  #sinceMs: number;

  /** What was written before is not read. */
  constructor(ring: Int32Array, clocks: Clocks) {
    this.#ring = ring;
    this.#clocks = clocks;
    this.#whose = Atomics.load(ring, WHOSE);
    this.#sinceMs = clocks.now();
    this.#read = Atomics.load(ring, WRITTEN);
  }

  /** Tells `hears` what was written since the last time. */
  read(hears: Hears): void {
    const ring = this.#ring;
    const whose = Atomics.load(ring, WHOSE);
    if (whose !== this.#whose) {
      this.#whose = whose;
      this.#read = Atomics.load(ring, FROM);
      hears.missed();
    }
    if (whose === NOBODY || Atomics.load(ring, WRITTEN) === this.#read) return;
    const nowMs = this.#clocks.now();
    while (Atomics.load(ring, WRITTEN) !== this.#read) {
      const length = this.#take();
      if (length === null) {
        this.#read = Atomics.load(ring, WRITTEN);
        hears.missed();
      } else this.#tell(length, hears);
    }
    this.#sinceMs = nowMs;
  }

  /** Copies the next record; null when it has been written over, or may have been meanwhile. */
  #take(): number | null {
    const ring = this.#ring;
    const length = ring[HEAD + (this.#read & MASK)] ?? 0;
    if (length < 4 || length > LONGEST) return null;
    for (let i = 0; i < length; i += 1) {
      this.#record[i] = ring[HEAD + ((this.#read + i) & MASK)] ?? 0;
    }
    if (((Atomics.load(ring, WRITTEN) - this.#read) | 0) >>> 0 > NUMBERS - LONGEST) return null;
    this.#read = (this.#read + length) | 0;
    return length;
  }

  #tell(length: number, hears: Hears): void {
    const [, kind = 0, id = 0, when = 0, first = 0, second = 0] = this.#record;
    // Of each request that any other worker answers, and at no time of its own.
    if (kind === ANSWERED) {
      hears.answered(id, first / PARTS);
      return;
    }
    const { now, wallMs } = this.#clocks;
    // Wall clocks are set, and go on while a machine is suspended, when a monotonic one stands still.
    const atMs = Math.max(this.#sinceMs, now() - Math.max(0, ((wallMs() | 0) - when) | 0));
    // A newer version tells more.
    if (kind === SENT) hears.sent(this.#sent(length, id, atMs), atMs);
    else if (kind === COMPUTED) hears.computed(id, first, second / PARTS, atMs);
    else if (kind === ENDED) hears.ended(id, first === 1, atMs);
  }

  #sent(length: number, id: number, atMs: number): SentNews {
    const record = this.#record;
    const [, , , , slot = 0, streams = 0, bytes = 0, promptBytes = 0, count = 0] = record;
    const pieces: SentNews["pieces"][number][] = [];
    const blocks: number[] = [];
    // For each prompt in each other worker: loops, which take half as long as `Array.from`.
    const from = 9 + 2 * count;
    for (let at = 9; at < from; at += 2) {
      pieces.push({ end: record[at] ?? 0, usedAtMs: atMs - (record[at + 1] ?? 0) });
    }
    for (let at = from; at < length; at += 1) blocks.push((record[at] ?? 0) >>> 0);
    return { id, slot, streams: streams === 1, bytes, promptBytes, pieces, blocks };
  }
}
