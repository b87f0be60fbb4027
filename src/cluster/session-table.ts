/**
 * Which node has which session, in memory that all processes of a proxy have mapped: each sees at once
 * where another sent a session's last request, and one that dies takes nothing along.
 *
 * A session's places stand in the one bucket that its hash names; when that is full, the place that was
 * used longest ago makes room. Whoever writes a session down holds the lock. Whoever reads does not: at worst it
 * misses a session that has to make room in this moment. Where the holder stands still, sessions are not
 * written down until it goes on, and those that end are taken out without it.
 *
 * Whoever changes where a place's session is takes what stood there with it and counts both: the counts are
 * the sums of the places whoever did what at the same time. Only one that dies in between leaves a count behind.
 */
import type { Role } from "../core/engine/roles.ts";
import type { SessionOf } from "../core/strategies/strategy.ts";
import { Lock, PATIENCE_MS } from "./lock.ts";
import { MOST_SLOTS } from "./table.ts";

/** With 100,000 sessions of one model, one in some thousand buckets is full. */
const BUCKETS = 16_384;
const PLACES = 16;
/** Models, or roles, that one session has nodes for. */
const MOST_OF_ONE = 8;

/** Numbers of a place: hashes of the session's name and the model's, where it is, and when it was used. */
const ID = 0;
const MODEL = 1;
/** 0 for a place that is free. */
const HOME = 2;
/** The wall clock, ms, in 32 bits: a count that goes round. */
const USED = 3;
const NUMBERS = 4;

const HEAD = 16;
const LOCK = 0;
/** Where the sessions of each node are counted, and then the places. */
const COUNTS = HEAD;
const BUCKET = PLACES * NUMBERS;
const FIRST = COUNTS + MOST_SLOTS;
const END = FIRST + BUCKETS * BUCKET;

export const SESSION_BYTES = 4 * END;

/** Numbers that are looked at in one go. */
const SWEPT = 256 * BUCKET;

const ROLES: readonly Role[] = ["Hybrid", "Prefill", "Decode"];

export interface SessionTableOptions {
  /** Of this process. */
  readonly row: number;
  /** Wall clock, ms: the same in all processes. */
  readonly wallMs: () => number;
  /** A session without a request for so long has ended, ms. */
  readonly idleMs: number;
}

export class SessionTable {
  readonly #cells: Int32Array;
  readonly #lock: Lock;
  readonly #options: SessionTableOptions;
  /** One has died, and its count may still be there. */
  #isMiscounted = false;

  /** @param memory `SESSION_BYTES` long, shared by all, and zero at first. */
  constructor({ buffer, byteOffset }: Uint8Array, options: SessionTableOptions) {
    this.#cells = new Int32Array(buffer, byteOffset, END);
    this.#lock = new Lock(this.#cells, LOCK);
    this.#options = options;
  }

  /** The slot of the session's node in that role; null when it has none. */
  find(session: SessionOf, role: Role): number | null {
    const at = this.#placeOf(session, ROLES.indexOf(role), this.#now());
    const home = at === null ? 0 : this.#read(at, HOME);
    return home === 0 ? null : slotOf(home);
  }

  /** Its node is from now on the one of this slot. */
  put(session: SessionOf, role: Role, slot: number): void {
    if (slot >= MOST_SLOTS) return;
    this.#lock.held(this.#options.row, () => {
      const now = this.#now();
      const number = ROLES.indexOf(role);
      const known = this.#placeOf(session, number, now);
      const at = known ?? this.#roomFor(session.id, now);
      this.#move(at, 0);
      if (known === null) {
        this.#write(at, ID, session.id);
        this.#write(at, MODEL, session.model);
      }
      this.#write(at, USED, now);
      // At last: who reads knows by it that the others are there.
      this.#move(at, homeOf(slot, number));
      this.#touch(session.id, now);
    });
  }

  /** It has a request, or had one until now. */
  used(id: number): void {
    this.#touch(id, this.#now());
  }

  finish(id: number): void {
    this.#takeOut(() => {
      for (const at of this.#placesOf(id, null)) this.#move(at, 0);
    });
  }

  /** Sessions that are on a node, each once for each model; those that have ended by themselves count for some seconds. */
  on(slot: number): number {
    return slot < MOST_SLOTS ? this.#read(COUNTS, slot) : 0;
  }

  /** Sessions there are. */
  get size(): number {
    const ids = new Set<number>();
    for (let at = FIRST; at < END; at += NUMBERS) {
      if (this.#read(at, HOME) !== 0) ids.add(this.#read(at, ID));
    }
    return ids.size;
  }

  /** Forgets sessions that nobody has used for long, and those of the slot `gone`, whose node is another now. */
  sweep(gone: number | null = null): void {
    if (this.#isMiscounted) this.#countAnew();
    // A part at a time: others wait meanwhile.
    for (let from = FIRST; from < END; from += SWEPT) {
      this.#takeOut(() => {
        const now = this.#now();
        for (let at = from; at < from + SWEPT; at += NUMBERS) {
          const home = this.#read(at, HOME);
          if (home === 0) continue;
          if (slotOf(home) === gone || this.#isOver(at, now)) this.#move(at, 0);
        }
      });
    }
  }

  /** The process of this row has died: it may have counted what it had not written down, or the other way round. */
  left(row: number): void {
    this.#lock.free(row);
    this.#countAnew();
  }

  #countAnew(): void {
    const startedMs = this.#now();
    const counted = this.#lock.held(this.#options.row, () => {
      const counts = new Int32Array(MOST_SLOTS);
      for (let at = FIRST; at < END; at += NUMBERS) {
        const home = this.#read(at, HOME);
        if (home === 0) continue;
        const slot = slotOf(home);
        counts[slot] = (counts[slot] ?? 0) + 1;
      }
      this.#cells.set(counts, COUNTS);
    });
    // Had this process stood still, others may have taken sessions out meanwhile.
    this.#isMiscounted = !counted || ((this.#now() - startedMs) | 0) >= PATIENCE_MS;
  }

  /** It needs no lock but for this: that nobody counts anew meanwhile. */
  #takeOut(act: () => void): void {
    if (!this.#lock.held(this.#options.row, act)) act();
  }

  #now(): number {
    return this.#options.wallMs() | 0;
  }

  /** Where no model is named, there is but one: whatever others call it. */
  #placeOf({ id, model }: SessionOf, role: number, now: number): number | null {
    let any: number | null = null;
    for (const at of this.#placesOf(id, now)) {
      if (roleOf(this.#read(at, HOME)) !== role) continue;
      const theirs = this.#read(at, MODEL);
      if (theirs === (model | 0)) return at;
      if (any === null && (theirs === 0 || model === 0)) any = at;
    }
    return any;
  }

  /** The places of a session, and only those that still count at `now`, unless that is null. */
  #placesOf(id: number, now: number | null): number[] {
    const places: number[] = [];
    const first = bucketOf(id);
    for (let at = first; at < first + BUCKET; at += NUMBERS) {
      if (this.#read(at, ID) !== (id | 0) || this.#read(at, HOME) === 0) continue;
      if (now === null || !this.#isOver(at, now)) places.push(at);
    }
    return places;
  }

  /** A free place, else the one that was used longest ago: of its own ones, if it has too many. */
  #roomFor(id: number, now: number): number {
    const mine = this.#placesOf(id, null);
    const first = bucketOf(id);
    const all = Array.from({ length: PLACES }, (_, at) => first + at * NUMBERS);
    const among = mine.length < MOST_OF_ONE ? all : mine;
    let oldest = among[0] ?? first;
    for (const at of among) {
      if (this.#read(at, HOME) === 0) return at;
      if (this.#ageMs(at, now) > this.#ageMs(oldest, now)) oldest = at;
    }
    return oldest;
  }

  #touch(id: number, now: number): void {
    for (const at of this.#placesOf(id, null)) this.#write(at, USED, now);
  }

  #isOver(at: number, now: number): boolean {
    return this.#ageMs(at, now) >= this.#options.idleMs;
  }

  /** Negative where the clock was put back. */
  #ageMs(at: number, now: number): number {
    return (now - this.#read(at, USED)) | 0;
  }

  /** @param home 0 for none */
  #move(at: number, home: number): void {
    if (home !== 0) this.#count(slotOf(home), 1);
    const before = Atomics.exchange(this.#cells, at + HOME, home);
    if (before !== 0) this.#count(slotOf(before), -1);
  }

  #count(slot: number, by: 1 | -1): void {
    Atomics.add(this.#cells, COUNTS + slot, by);
  }

  #read(at: number, number: number): number {
    return this.#cells[at + number] ?? 0;
  }

  #write(at: number, number: number, value: number): void {
    this.#cells[at + number] = value;
  }
}

function bucketOf(id: number): number {
  return FIRST + ((id >>> 0) % BUCKETS) * BUCKET;
}

function homeOf(slot: number, role: number): number {
  return 1 + slot * ROLES.length + role;
}

function slotOf(home: number): number {
  return ((home - 1) / ROLES.length) | 0;
}

function roleOf(home: number): number {
  return (home - 1) % ROLES.length;
}
