import { AnswerRecord } from "./answer-record.ts";
import { FadingCount } from "./fading-count.ts";
import { FlowRecord } from "./flow-record.ts";
import { Lengths } from "./lengths.ts";

/**
 * After so many refusals in a row the next such request goes to a peer: where a strategy brings what is alike
 * to one node, nobody knows otherwise what its peers would answer.
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
  #asksPeer = false;
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

  /** @param status 200 for an answer that held nothing, which may be all there was to say. */
  refusedRequest(client: string | null, status: number, nowMs: number): void {
    this.refused.add(nowMs);
    this.refusalsInARow += 1;
    if (this.refusedClients.size < 2) this.refusedClients.add(client);
    this.#asksPeer = status !== 200 && this.refusalsInARow >= ROW;
  }

  /** Whether a request that would go to it, of one of those whom it refuses, goes to a peer: one for each refusal. */
  leavesToPeer(client: string | null): boolean {
    const { refusedClients } = this;
    const leaves = this.#asksPeer && (refusedClients.size > 1 || refusedClients.has(client));
    if (leaves) this.#asksPeer = false;
    return leaves;
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
    this.givenUp = 0;
    this.wasSlow = false;
  }

  #endRow(): void {
    this.refusalsInARow = 0;
    this.refusedClients.clear();
    this.#asksPeer = false;
  }
}
