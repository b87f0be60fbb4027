/**
 * Answers that are absurdly short. An engine that says three tokens to everything ends every request at
 * once, looks idle, and draws all traffic. Yet a classification is answered in one token by any engine, and
 * strategies bring what is alike to the same node: neither short answers nor the answers that others
 * happen to give prove anything. So a node that gives them in a row is put in question, and of the
 * requests that would go to it half, drawn by lot, go to its peers. What the two halves get may differ
 * by the engines alone.
 */
import { FadingCount } from "./fading-count.ts";

/** A request whose answer is measured: what of its lease is needed here. */
interface Measured {
  /** Monotonic time, ms. */
  readonly startedAtMs: number;
  /** Pieces of the answer's body received. */
  readonly pieces: number;
  readonly asked: { readonly stream: boolean };
}

/** An answer of so many tokens at most is short; one of so many at least is not, and what is between tells nothing. */
export const SHORT_TOKENS = 4;
export const LONG_TOKENS = 20;
/** Events of a stream: so many pieces cannot be those of a short answer, whichever the API. */
const LONG_PIECES = 32;
/** So many short answers in a row put a node in question, ... */
const ROW = 6;
/** ... or, where its peers give some, too, as many as would not often come in a row there, up to so many. */
const UNUSUAL = 0.01;
const LONGEST_ROW = 64;
/** Requests are drawn in lots of so many for the node and as many for its peers. */
const LOT = 8;
/** The node is at fault when the chance that the lots alone made the difference is below this. */
const BY_CHANCE = 1e-4;
/** Where peers give so many short answers, for each long one and one more, the requests ask for no other. */
const SHORT_AT_PEERS = 6;
/** Then it is left alone for so long, ms, twice as long each time, up to so long; ... */
const REST_MS = 60_000;
const LONGEST_REST_MS = 300_000;
/** ... but for no more answers in a row than these: where it is asked much, others than short ones may be asked for since. */
const LONGEST_REST_ROW = 256;
/** ... and for a moment where it gave a long answer itself. */
const SHORT_REST_MS = 5_000;
/** No comparison takes longer, ms. */
const LONGEST_MS = 300_000;
/** Of the node's own share so much may be open without a word on its length: long answers end last. */
const OPEN_SHARE = 0.25;

/** `middling`: nothing can be told by it, but that the node gives others than short ones. */
export type Length = "short" | "middling" | "long";

/** @param tokens Null when it is not known how many an answer had, or its request asked for few. */
export function lengthOf(tokens: number | null): Length | null {
  if (tokens === null) return null;
  if (tokens <= SHORT_TOKENS) return "short";
  return tokens < LONG_TOKENS ? "middling" : "long";
}

/** Whether an answer that is still coming, or was given up, is long already. */
export function isLongAlready({ pieces, asked }: Measured): boolean {
  return asked.stream && pieces >= LONG_PIECES;
}

/** What came of the requests that fell to one side. */
class Side {
  short = 0;
  long = 0;
  middling = 0;
  readonly open = new Set<Measured>();

  /** What is open and long already is counted. */
  count(): void {
    for (const lease of this.open) if (isLongAlready(lease)) this.ended(lease, "long");
  }

  ended(lease: Measured, length: Length | null): void {
    if (this.open.delete(lease) && length !== null) this[length] += 1;
  }
}

/** Where a request goes that a strategy would send to a node in question. `away`: elsewhere, and it says nothing. */
export type Lot = "node" | "peer" | "away";

/** Whose doing it is: the node's, or the requests', which ask for no other answers. `well`: it gives others, too. */
export type Verdict = "node" | "requests" | "well";

/** One node, in question, beside its peers. */
export class Comparison {
  readonly #sinceMs: number;
  readonly #own = new Side();
  readonly #peers = new Side();
  #ownLots = LOT;
  #peerLots = LOT;

  constructor(nowMs: number) {
    this.#sinceMs = nowMs;
  }

  /** @param random Uniform in [0, 1). */
  draw(random: () => number): Lot | null {
    if (this.#ownLots + this.#peerLots === 0) {
      // What is open may show enough: nobody else needs to see how it answers until then.
      if (this.#chance(true) < BY_CHANCE) return this.#mayBeLong() ? null : "away";
      this.#ownLots = LOT;
      this.#peerLots = LOT;
    }
    const isOwn = random() * (this.#ownLots + this.#peerLots) < this.#ownLots;
    if (isOwn) this.#ownLots -= 1;
    else this.#peerLots -= 1;
    return isOwn ? "node" : "peer";
  }

  begin(lease: Measured, side: "node" | "peer"): void {
    (side === "node" ? this.#own : this.#peers).open.add(lease);
  }

  ended(lease: Measured, length: Length | null): void {
    const seen = isLongAlready(lease) ? "long" : length;
    this.#own.ended(lease, seen);
    this.#peers.ended(lease, seen);
  }

  /** What it has shown; null: nothing yet. */
  verdict(nowMs: number): Verdict | null {
    const own = this.#own;
    const peers = this.#peers;
    own.count();
    peers.count();
    if (own.long + own.middling > 0) return "well";
    // Short answers end first.
    if (peers.short >= SHORT_AT_PEERS * (1 + peers.long + peers.open.size)) return "requests";
    if (!this.#mayBeLong() && this.#chance(false) < BY_CHANCE) return "node";
    return nowMs - this.#sinceMs > LONGEST_MS ? "requests" : null;
  }

  #mayBeLong(): boolean {
    return this.#own.open.size > OPEN_SHARE * this.#own.short;
  }

  /**
   * The chance that all long answers fell to the peers' side by the lots alone.
   * @param soon When what is open ends as those before it did: long at the peers, short at the node.
   */
  #chance(soon: boolean): number {
    const long = this.#peers.long + (soon ? this.#peers.open.size : 0);
    const atPeers = long + this.#peers.short;
    const all = atPeers + this.#own.short + (soon ? this.#own.open.size : 0);
    let chance = 1;
    for (let i = 0; i < long; i += 1) chance *= (atPeers - i) / (all - i);
    return chance;
  }
}

/** How long the answers of a node are, and whether that puts it in question. */
export class Lengths {
  /** Fading. */
  readonly #short = new FadingCount();
  readonly #long = new FadingCount();
  /** Short ones in a row, and when the first of them was asked, ms; what was asked before tells of before. */
  #row = 0;
  #rowSinceMs = 0;
  #restsUntilMs = Number.NEGATIVE_INFINITY;
  #restMs = REST_MS;
  #comparison: Comparison | null = null;

  /** Null while it is not in question. */
  get comparison(): Comparison | null {
    return this.#comparison;
  }

  /** An answer has ended whose length is known. */
  ended(lease: Measured, length: Length, nowMs: number): void {
    if (length === "short") {
      this.#short.add(nowMs);
      if (this.#row === 0) this.#rowSinceMs = lease.startedAtMs;
      this.#row += 1;
      return;
    }
    if (length === "long") this.#long.add(nowMs);
    if (lease.startedAtMs >= this.#rowSinceMs) this.#row = 0;
  }

  /** Whether it may have to be put in question; that takes a look at its peers, so not with every answer. */
  isOdd(nowMs: number): boolean {
    const isDue = this.#row > 0 && this.#row % ROW === 0;
    const hasRested = nowMs >= this.#restsUntilMs || this.#row >= LONGEST_REST_ROW;
    return isDue && this.#comparison === null && hasRested;
  }

  /**
   * Puts it in question, if that many short ones in a row are unusual.
   * @param open What is open on the node. @param share How many of its peers' answers are short, 0 to 1.
   */
  question(open: Iterable<Measured>, share: number, nowMs: number): void {
    if (this.#row < LONGEST_ROW && share ** this.#row > UNUSUAL) return;
    let unknown = 0;
    for (const lease of open) {
      if (lease.startedAtMs < this.#rowSinceMs) continue;
      if (isLongAlready(lease)) {
        this.#row = 0;
        return;
      }
      unknown += 1;
    }
    if (unknown <= OPEN_SHARE * this.#row) this.#comparison = new Comparison(nowMs);
  }

  /** It is in question no more. */
  settled(verdict: Verdict, nowMs: number): void {
    this.#comparison = null;
    this.#row = 0;
    this.#restsUntilMs = nowMs + (verdict === "well" ? SHORT_REST_MS : this.#restMs);
    this.#restMs = verdict === "well" ? REST_MS : Math.min(this.#restMs * 2, LONGEST_REST_MS);
  }

  /** Short answers in a row. */
  get row(): number {
    return this.#row;
  }

  /** How many of its answers were so of late, fading. */
  lately(length: "short" | "long", nowMs: number): number {
    return (length === "short" ? this.#short : this.#long).at(nowMs);
  }

  clear(): void {
    this.#short.clear();
    this.#long.clear();
    this.#row = 0;
    this.#restsUntilMs = Number.NEGATIVE_INFINITY;
    this.#restMs = REST_MS;
    this.#comparison = null;
  }
}
