import { FadingCount } from "./fading-count.ts";

/**
 * After so many refusals in a row the next one is tried on a peer: whether it answers shows whose fault they are.
 * A single one is most likely its client's, and no second node need see it.
 */
const ROW = 2;
/** Twice as many for each request of the same client that peers have refused, too, up to so many times. */
const MOST_DOUBLINGS = 3;
/** So many clients are remembered for that; the more there are, the less one of whom nothing is known tells, either. */
const MOST_CLIENTS = 6;
/** A node is at fault once peers have answered so many in a row: what one node alone has not may be of the moment. */
const REFUTED = 2;
/** Until a peer has a word on what it refused, it gets nothing more; but a word may take minutes, ms. */
const IN_QUESTION_MS = 5_000;
/** A row says nothing any more that ended so long ago, ms. */
const LATELY_MS = 20_000;

/** What one node refuses, or answers with nothing, and what its peers made of the same requests. */
export class Refusals {
  /** Since it last answered well, or a peer refused the same. */
  #inARow = 0;
  #lastAtMs = Number.NEGATIVE_INFINITY;
  /** Since it last answered well, those that a peer has answered. */
  #refuted = 0;
  /** By client: what peers refused, too. */
  readonly #alike = new Map<string | null, FadingCount>();
  /** Stands for the request of its that a peer was given last, while that is under way, and since when, ms. */
  #asked: object | null = null;
  #askedAtMs = Number.NEGATIVE_INFINITY;

  /** Whether a request of `client` that it refuses just now should be tried on a peer. */
  mayAsk(client: string | null, nowMs: number): boolean {
    return !this.isInQuestion(nowMs) && this.#inARow + 1 >= this.#patience(client, nowMs);
  }

  #patience(client: string | null, nowMs: number): number {
    this.#forget(nowMs);
    const known = this.#alike.get(client)?.at(nowMs);
    const doublings = Math.floor(known ?? Math.max(0, this.#alike.size - 1));
    return ROW * 2 ** Math.min(doublings, MOST_DOUBLINGS);
  }

  /** What peers refused alike so long ago that it says nothing any more. */
  #forget(nowMs: number): void {
    for (const [one, count] of this.#alike) if (count.at(nowMs) < 0.5) this.#alike.delete(one);
  }

  /** A peer has been given, as `asked`, what it refuses just now. */
  asks(asked: object, nowMs: number): void {
    // A single refusal, as each 404 is tried, is most likely its client's.
    if (this.#inARow + 1 < ROW) return;
    this.#asked = asked;
    this.#askedAtMs = nowMs;
  }

  /** Whatever came of it. */
  askEnded(asked: object): void {
    if (this.#asked === asked) this.#asked = null;
  }

  /** Whether a peer is busy with what it refused. */
  isInQuestion(nowMs: number): boolean {
    return this.#asked !== null && nowMs - this.#askedAtMs < IN_QUESTION_MS;
  }

  /** Whether it has refused so much of late that its word on another's refusals tells little. */
  isSuspect(nowMs: number): boolean {
    return this.#inARow >= ROW && nowMs - this.#lastAtMs < LATELY_MS;
  }

  refused(nowMs: number): void {
    this.#inARow += 1;
    this.#lastAtMs = nowMs;
  }

  answeredWell(): void {
    this.#inARow = 0;
    this.#refuted = 0;
  }

  /** A peer refused the same request of `client`: that is its doing. */
  alike(client: string | null, nowMs: number): void {
    this.#inARow = 0;
    this.excuses(client, nowMs);
  }

  /** A request of `client` was refused here and elsewhere. */
  excuses(client: string | null, nowMs: number): void {
    this.#forget(nowMs);
    const count = this.#alike.get(client) ?? new FadingCount();
    count.add(nowMs);
    this.#alike.set(client, count);
    const [oldest] = this.#alike.keys();
    if (this.#alike.size > MOST_CLIENTS && oldest !== undefined) this.#alike.delete(oldest);
  }

  /** A peer answered what it refused. Returns whether it has done so often enough in a row. */
  refuted(): boolean {
    this.#refuted += 1;
    // That others' were refused by all, too, is no reason to wait for the next.
    this.#alike.clear();
    return this.#refuted >= REFUTED;
  }

  clear(): void {
    this.answeredWell();
    this.#alike.clear();
    this.#asked = null;
  }
}
