import type { Exchange } from "../core/exchange.ts";
import { ByteRing, type Leaves } from "./byte-ring.ts";
import { type Account, accountOf, drawn } from "./explanation.ts";
import { isAccountOf, packAccount, peekAccount, unpackAccount } from "./packed-account.ts";
import { Reader, Writer } from "./packing.ts";
import { levelOf } from "./request-outcome.ts";

export interface ExplanationsOptions {
  /** What they may take altogether, bytes. */
  readonly mostBytes: number;
  /** Monotonic clock, ms. */
  readonly now: () => number;
  /** Wall clock, ms since 1970. */
  readonly wallMs: () => number;
}

/** One of the slowest, packed. */
interface Slow {
  readonly record: Uint8Array;
  readonly totalMs: number;
  readonly endedAtMs: number;
}

/** What one of the slowest takes beside its record, bytes. */
const SLOW_BYTES = 200;
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
  readonly #writer = new Writer();
  readonly #recent: ByteRing;
  readonly #failed: ByteRing;
  /** The quickest of them first. */
  #slow: Slow[] = [];
  #slowBytes = 0;
  #tidiedAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: ExplanationsOptions) {
    this.#options = options;
    this.#recent = new ByteRing(Math.floor(options.mostBytes / 2));
    this.#failed = new ByteRing(Math.floor(options.mostBytes / 4));
  }

  /** What they take, bytes. */
  get bytes(): number {
    return this.#recent.bytes + this.#failed.bytes + this.#slowBytes;
  }

  /** A request has ended. */
  readonly ended = (exchange: Exchange): void => {
    const { now, wallMs } = this.#options;
    const endedAtMs = exchange.endedAtMs ?? now();
    const account = accountOf(exchange, endedAtMs, wallMs());
    const failed = levelOf(exchange) === "warning";
    packAccount(this.#writer, account, failed, endedAtMs);
    this.#recent.append(this.#writer.bytes, this.#writer.length, this.#leaves);
  };

  /** One falls out of those that were last. */
  readonly #leaves: Leaves = (view, at, length) => {
    const { failed, totalMs, endedAtMs } = peekAccount(this.#readerAt(view, at));
    if (failed) this.#failed.append(recordIn(view, at, length), length, () => {});
    else if (this.#isSlow(totalMs)) {
      this.#keepSlow({ record: recordIn(view, at, length).slice(), totalMs, endedAtMs });
    }
  };

  /** Those of an id, the latest first. */
  of(id: string) {
    const found: { readonly account: Account; readonly endedAtMs: number }[] = [];
    const look: Leaves = (view, at) => {
      if (!isAccountOf(this.#readerAt(view, at), id)) return;
      const { endedAtMs } = peekAccount(this.#readerAt(view, at));
      found.push({ account: unpackAccount(this.#readerAt(view, at)), endedAtMs });
    };
    this.#recent.each(look);
    this.#failed.each(look);
    for (const { record } of this.#slow) look(new DataView(record.buffer), 0, record.length);
    return found.sort((a, b) => b.endedAtMs - a.endedAtMs).map(({ account }) => drawn(account));
  }

  #readerAt(view: DataView, at: number): Reader {
    return new Reader(view, at, this.#writer.words);
  }

  get #mostSlowBytes(): number {
    return this.#options.mostBytes / 4;
  }

  /** Whether one that took so long is to be kept with the slowest: most are quicker, and must cost nothing. */
  #isSlow(totalMs: number): boolean {
    const nowMs = this.#options.now();
    if (nowMs - this.#tidiedAtMs >= TIDY_EVERY_MS) {
      this.#tidiedAtMs = nowMs;
      this.#slow = this.#slow.filter(({ endedAtMs }) => nowMs - endedAtMs <= SLOW_FOR_MS);
      this.#slowBytes = this.#slow.reduce((sum, one) => sum + sizeOf(one), 0);
    }
    const [quickest] = this.#slow;
    if (quickest === undefined || totalMs > quickest.totalMs) return true;
    return this.#slowBytes + sizeOf(quickest) <= this.#mostSlowBytes;
  }

  #keepSlow(one: Slow): void {
    this.#slow.splice(this.#placeOf(one.totalMs), 0, one);
    this.#slowBytes += sizeOf(one);
    let gone = 0;
    for (const quickest of this.#slow) {
      if (this.#slowBytes <= this.#mostSlowBytes) break;
      this.#slowBytes -= sizeOf(quickest);
      gone += 1;
    }
    this.#slow.splice(0, gone);
  }

  /** Before the first that is slower. */
  #placeOf(totalMs: number): number {
    let low = 0;
    let high = this.#slow.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#slow[middle]?.totalMs ?? 0) > totalMs) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

function recordIn(view: DataView, at: number, length: number): Uint8Array {
  return new Uint8Array(view.buffer, at, length);
}

function sizeOf({ record }: Slow): number {
  return SLOW_BYTES + record.length;
}
