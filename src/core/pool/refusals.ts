import { FadingCount } from "./fading-count.ts";

/** After so many in a row it may be that it refuses all: while one of them is tried on a peer it gets nothing more. */
const ROW = 2;
/** The same of a node that is known to refuse only some of what its peers answer: those may come in rows. */
const ROW_OF_SOME = 8;
/** Twice as many have to come until one is tried on a peer for each of the same client that peers refused, too, up to so many times. */
const MOST_DOUBLINGS = 4;
/** The same at a node that is known to refuse what its peers answer. */
const MOST_DOUBLINGS_OF_SOME = 1;
/** So many clients are remembered for that; the more there are, the less one of whom nothing is known tells, either. */
const MOST_CLIENTS = 6;
/** A node is at fault once peers have answered so many in a row: what one node alone has not may be of the moment. */
const REFUTED = 2;
/** Until a peer has a word on what it refused, it gets nothing more; but a word may take minutes, ms. */
const IN_QUESTION_MS = 5_000;
/** A row says nothing any more that ended so long ago, ms. */
const LATELY_MS = 20_000;
/** What an engine refuses alone it was started without, and is so until it is started anew; it is remembered for so long, ms. */
const OVERRULED_MS = 600_000;

/** What one node refuses, or answers with nothing, and what its peers made of the same requests. */
export class Refusals {
  /** Since it last answered well, or a peer refused the same. */
  #inARow = 0;
  #lastAtMs = Number.NEGATIVE_INFINITY;
  /** Since the last one that was tried on a peer, whatever it answered between them. */
  #untried = 0;
  /** Since it last answered well, those that a peer has answered. */
  #refuted = 0;
  /** When a peer last answered what it refused, ms. */
  #overruledAtMs = Number.NEGATIVE_INFINITY;
  /** It has answered others well that it was given after that. */
  #answersOthers = false;
  /** By client: what peers refused, too. */
  readonly #alike = new Map<string | null, FadingCount>();
  /** Stands for the request of its that a peer was given last, while that is under way, and since when, ms. */
  #asked: object | null = null;
  #askedAtMs = Number.NEGATIVE_INFINITY;

  /**
   * Whether a request of `client` that it refuses just now should be tried on a peer.
   * @param mayHaveRun It got nothing, and yet it may have been computed: a single one is not tried.
   */
  mayAsk(client: string | null, mayHaveRun: boolean, nowMs: number): boolean {
    if (mayHaveRun && this.#inARow + 1 < ROW) return false;
    // A client's bad requests come many at a time; so do those that it is known to refuse wrongly.
    if (this.#isAsking(nowMs) && (mayHaveRun || !this.isOverruled(nowMs))) return false;
    return this.#untried + 1 >= this.#patience(client, nowMs);
  }

  #patience(client: string | null, nowMs: number): number {
    this.#forget(nowMs);
    const known = this.#alike.get(client)?.at(nowMs);
    const doublings = Math.round(known ?? Math.max(0, this.#alike.size - 1));
    const most = this.isOverruled(nowMs) ? MOST_DOUBLINGS_OF_SOME : MOST_DOUBLINGS;
    return 2 ** Math.min(doublings, most);
  }

  /** What peers refused alike so long ago that it says nothing any more. */
  #forget(nowMs: number): void {
    for (const [one, count] of this.#alike) if (count.at(nowMs) < 0.5) this.#alike.delete(one);
  }

  /**
   * A peer has been given, as `asked`, what it refuses just now.
   * @param isCounted Whether `refused` has been told of that already.
   */
  asks(asked: object, isCounted: boolean, nowMs: number): void {
    this.#untried = isCounted ? 0 : -1;
    this.#asked = asked;
    this.#askedAtMs = nowMs;
  }

  /** Whatever came of it. */
  askEnded(asked: object): void {
    if (this.#asked === asked) this.#asked = null;
  }

  #isAsking(nowMs: number): boolean {
    return this.#asked !== null && nowMs - this.#askedAtMs < IN_QUESTION_MS;
  }

  /** Whether a peer is busy with what it refused, and it may be that it refuses all. */
  isInQuestion(nowMs: number): boolean {
    return this.#isAsking(nowMs) && this.#inARow >= this.#row(nowMs);
  }

  /** Whether a peer has answered of late what it refused. */
  isOverruled(nowMs: number): boolean {
    return nowMs - this.#overruledAtMs < OVERRULED_MS;
  }

  #row(nowMs: number): number {
    return this.#answersOthers && this.isOverruled(nowMs) ? ROW_OF_SOME : ROW;
  }

  /** Whether it has refused so much of late, or so wrongly, that its word on another's refusals tells little. */
  isSuspect(nowMs: number): boolean {
    const isInRow = this.#inARow >= ROW && nowMs - this.#lastAtMs < LATELY_MS;
    return isInRow || this.isOverruled(nowMs);
  }

  refused(nowMs: number): void {
    this.#inARow += 1;
    this.#untried += 1;
    this.#lastAtMs = nowMs;
  }

  /** @param startedAtMs When it was given what it answered. */
  answeredWell(startedAtMs: number): void {
    this.#inARow = 0;
    this.#refuted = 0;
    if (startedAtMs > this.#overruledAtMs)
      this.#answersOthers = this.#overruledAtMs !== Number.NEGATIVE_INFINITY;
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

  /** A peer answered what it refused. Returns whether it has done so often enough while it answered nothing well. */
  refuted(client: string | null, nowMs: number): boolean {
    this.#refuted += 1;
    const isAtFault = this.#refuted >= REFUTED && this.#inARow > this.#row(nowMs);
    this.overruled(nowMs);
    // That others of its were refused by all, too, is no reason to wait for the next.
    this.#alike.delete(client);
    return isAtFault;
  }

  /** So it has been of late, whatever else is known of it. */
  overruled(nowMs: number): void {
    this.#overruledAtMs = nowMs;
  }

  clear(): void {
    this.#inARow = 0;
    this.#untried = 0;
    this.#refuted = 0;
    this.#overruledAtMs = Number.NEGATIVE_INFINITY;
    this.#answersOthers = false;
    this.#alike.clear();
    this.#asked = null;
  }
}
