import { AnswerRecord } from "./answer-record.ts";
import { FadingCount } from "./fading-count.ts";
import { FlowRecord } from "./flow-record.ts";
import { Lengths } from "./lengths.ts";

/**
 * After so many refusals in a row half of such requests, drawn by lot, go to peers: where a strategy brings what
 * is alike to one node, nobody knows otherwise what these would answer.
 */
const ROW = 3;
/** Not one that has refused something itself in the last twenty seconds. */
const LATELY = 0.5;

/** How a node has treated requests of late: what it is judged by, beside its peers. */
export class Conduct {
  readonly answers = new AnswerRecord();
  readonly lengths = new Lengths();
  readonly flow = new FlowRecord();
  /** Answers that were good, and those that refused what was asked or held nothing, fading. */
  readonly good = new FadingCount();
  readonly refused = new FadingCount();
  /** Refusals since its last good answer, and whose requests they were, two clients at most. */
  refusalsInARow = 0;
  readonly refusedClients = new Set<string | null>();
  /** Nobody knew what its peers would answer; how many good answers they have given instead since, and when last, ms. */
  #isInQuestion = false;
  /** A strategy has brought it what it refuses: what its peers answer otherwise is not the like. */
  #isBrought = false;
  #answeredInstead = 0;
  #answeredInsteadAtMs = Number.NEGATIVE_INFINITY;
  /** Requests since its last sign of life that were given up, by client or time limit, after waiting long. */
  givenUp = 0;
  /** Whether it was slow beside its peers when they were last compared. */
  wasSlow = false;
  /** When it last sent a piece of any answer, as far as was looked, ms. */
  movedAtMs = Number.NEGATIVE_INFINITY;
  /** When it was last given a request, ms. */
  askedAtMs = Number.NEGATIVE_INFINITY;
  /** When it was last taken out, ms, and how often in a row what it had then has been seen to go on since. */
  outAtMs = Number.NEGATIVE_INFINITY;
  looksOn = 0;
  #pieces = 0;

  /** It has sent so many pieces of answers, in all. */
  moved(pieces: number, nowMs: number): void {
    if (pieces === this.#pieces) return;
    this.#pieces = pieces;
    this.movedAtMs = nowMs;
    this.givenUp = 0;
  }

  answeredWell(nowMs: number): void {
    this.good.add(nowMs);
    this.#endRow();
  }

  /** A peer answered well what would have gone to it, but for the lot. */
  answeredInstead(nowMs: number): void {
    this.#answeredInsteadAtMs = nowMs;
    if (this.#isInQuestion) this.#answeredInstead += 1;
  }

  /**
   * @param isBrought Whether a strategy may have brought it here for what it asks.
   * @param isUntold Whether nothing tells what its peers would have answered.
   */
  refusedRequest(
    client: string | null,
    isBrought: boolean,
    isUntold: boolean,
    nowMs: number,
  ): void {
    this.refused.add(nowMs);
    this.refusalsInARow += 1;
    if (this.refusedClients.size < 2) this.refusedClients.add(client);
    this.#isBrought ||= isBrought;
    if ((isBrought || isUntold) && this.refusalsInARow >= ROW) this.#isInQuestion = true;
  }

  /**
   * Whether a request that would go to it, of one of those whom it refuses, goes to a peer.
   * @param random Uniform in [0, 1).
   */
  leavesToPeer(client: string | null, random: () => number): boolean {
    const { refusedClients } = this;
    const isMeant = refusedClients.size > 1 || refusedClients.has(client);
    return this.#isInQuestion && isMeant && random() < 0.5;
  }

  /**
   * The chance that all good requests since it is in question fell to its peers by the lots alone. Where they have
   * got none by lot since `sinceMs`, 0 if what they got otherwise tells as much, else 1.
   */
  chanceOfLots(sinceMs: number): number {
    if (this.#answeredInsteadAtMs < sinceMs) return this.#isBrought ? 1 : 0;
    return 0.5 ** this.#answeredInstead;
  }

  /** Whether it is known to refuse what comes, too: then it need not be asked whether it would. */
  refusesToo(nowMs: number): boolean {
    return this.refusalsInARow > 0 && this.refused.at(nowMs) > LATELY;
  }

  /** Another process is there now. */
  forget(): void {
    this.answers.clear();
    this.lengths.clear();
    this.flow.clear();
    this.looksOn = 0;
    this.good.clear();
    this.refused.clear();
    this.#endRow();
    this.#answeredInsteadAtMs = Number.NEGATIVE_INFINITY;
    this.givenUp = 0;
    this.wasSlow = false;
  }

  #endRow(): void {
    this.refusalsInARow = 0;
    this.refusedClients.clear();
    this.#isBrought = false;
    this.#isInQuestion = false;
    this.#answeredInstead = 0;
  }
}
