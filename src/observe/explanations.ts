import type { Exchange } from "../core/exchange.ts";
import { type Account, accountOf, bytesOf, drawn } from "./explanation.ts";
import { levelOf } from "./request-line.ts";

export interface ExplanationsOptions {
  /** What they may take altogether, bytes. */
  readonly mostBytes: number;
  /** Monotonic clock, ms. */
  readonly now: () => number;
  /** Wall clock, ms since 1970. */
  readonly wallMs: () => number;
}

/** One that has ended. */
interface Kept {
  readonly account: Account;
  readonly endedAtMs: number;
  readonly failed: boolean;
  /** What it takes. */
  readonly bytes: number;
}

/** A slow one makes room for others after so long, ms. */
const SLOW_FOR_MS = 3_600_000;
/** How often those are looked for: it is a look at all, ms. */
const TIDY_EVERY_MS = 10_000;

/**
 * Explanations of the requests that have ended, within a bound in bytes: the last of all in half of
 * it; what falls out there goes on, a quarter for failures and a quarter for the slowest of an hour.
 */
export class Explanations {
  readonly #options: ExplanationsOptions;
  readonly #recent: Shelf;
  readonly #failed: Shelf;
  readonly #slow: Shelf;
  #tidiedAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: ExplanationsOptions) {
    this.#options = options;
    this.#recent = new Shelf(options.mostBytes / 2);
    this.#failed = new Shelf(options.mostBytes / 4);
    this.#slow = new Shelf(options.mostBytes / 4);
  }

  /** What they take, bytes. */
  get bytes(): number {
    return this.#recent.bytes + this.#failed.bytes + this.#slow.bytes;
  }

  /** A request has ended. */
  readonly ended = (exchange: Exchange): void => {
    const { now, wallMs } = this.#options;
    const endedAtMs = exchange.endedAtMs ?? now();
    const account = accountOf(exchange, endedAtMs, wallMs());
    const failed = levelOf(exchange) === "warning";
    this.#recent.append({ account, endedAtMs, failed, bytes: bytesOf(account) });
    for (let old = this.#recent.overflow(); old !== null; old = this.#recent.overflow()) {
      if (old.failed) this.#failed.append(old);
      else this.#keepSlow(old, endedAtMs);
    }
    while (this.#failed.overflow() !== null);
  };

  /** Those of an id, the latest first. */
  of(id: string) {
    return [...this.#recent.all(), ...this.#failed.all(), ...this.#slow.all()]
      .filter(({ account }) => account.id === id)
      .sort((a, b) => b.endedAtMs - a.endedAtMs)
      .map(({ account }) => drawn(account));
  }

  #keepSlow(one: Kept, nowMs: number): void {
    if (nowMs - this.#tidiedAtMs >= TIDY_EVERY_MS) {
      this.#tidiedAtMs = nowMs;
      this.#slow.dropWhere(({ endedAtMs }) => nowMs - endedAtMs > SLOW_FOR_MS);
    }
    // Most requests are quicker than all that are kept: they must cost nothing.
    const quickest = this.#slow.first;
    const isFull = this.#slow.bytes + one.bytes > this.#slow.mostBytes;
    if (isFull && quickest !== null && one.account.totalMs <= quickest.account.totalMs) return;
    this.#slow.insert(one, (other) => other.account.totalMs > one.account.totalMs);
    while (this.#slow.overflow() !== null);
  }
}

/** Entries in an order, the first of them the first to go. */
class Shelf {
  readonly mostBytes: number;
  /** Those before `#first` have gone. */
  #kept: (Kept | null)[] = [];
  #first = 0;
  #bytes = 0;

  constructor(mostBytes: number) {
    this.mostBytes = mostBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The first to go, or null. */
  get first(): Kept | null {
    return this.#kept[this.#first] ?? null;
  }

  get isOver(): boolean {
    return this.#bytes > this.mostBytes;
  }

  all(): Kept[] {
    return this.#kept.filter((one) => one !== null);
  }

  append(one: Kept): void {
    this.#kept.push(one);
    this.#bytes += one.bytes;
  }

  /** Before the first that `isAfter`. */
  insert(one: Kept, isAfter: (other: Kept) => boolean): void {
    let low = this.#first;
    let high = this.#kept.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const other = this.#kept[middle] ?? null;
      if (other !== null && isAfter(other)) high = middle;
      else low = middle + 1;
    }
    this.#kept.splice(low, 0, one);
    this.#bytes += one.bytes;
  }

  dropWhere(isGone: (one: Kept) => boolean): void {
    this.#kept = this.all().filter((one) => !isGone(one));
    this.#first = 0;
    this.#bytes = this.all().reduce((sum, one) => sum + one.bytes, 0);
  }

  /** Takes the first one out if they take too much; else null. */
  overflow(): Kept | null {
    if (!this.isOver) return null;
    const one = this.#kept[this.#first] ?? null;
    this.#kept[this.#first] = null;
    this.#first += 1;
    if (one !== null) this.#bytes -= one.bytes;
    // Now and then, so that it costs next to nothing for each.
    if (this.#first > 64 && this.#first * 2 > this.#kept.length) {
      this.#kept.splice(0, this.#first);
      this.#first = 0;
    }
    return one;
  }
}
