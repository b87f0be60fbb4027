import { AnswerRecord } from "./answer-record.ts";
import { FadingCount } from "./fading-count.ts";
import { FlowRecord } from "./flow-record.ts";
import { Lengths } from "./lengths.ts";

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
    this.refusalsInARow = 0;
    this.refusedClients.clear();
  }

  refusedRequest(client: string | null, nowMs: number): void {
    this.refused.add(nowMs);
    this.refusalsInARow += 1;
    if (this.refusedClients.size < 2) this.refusedClients.add(client);
  }

  /** Another process is there now. */
  forget(): void {
    this.answers.clear();
    this.lengths.clear();
    this.flow.clear();
    this.looksOn = 0;
    this.good.clear();
    this.refused.clear();
    this.refusalsInARow = 0;
    this.refusedClients.clear();
    this.givenUp = 0;
    this.wasSlow = false;
  }
}
