import { AnswerRecord } from "./answer-record.ts";
import { FadingCount } from "./fading-count.ts";
import { FlowRecord } from "./flow-record.ts";
import { Lengths } from "./lengths.ts";
import { Refusals } from "./refusals.ts";

/** How a node has treated requests of late: what it is judged by, beside its peers. */
export class Conduct {
  readonly answers = new AnswerRecord();
  readonly lengths = new Lengths();
  readonly flow = new FlowRecord();
  readonly refusals = new Refusals();
  /** Answers that have begun well, and those by which it failed (5xx), fading. */
  readonly good = new FadingCount();
  readonly failed = new FadingCount();
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

  /** Another process is there now. */
  forget(): void {
    this.answers.clear();
    this.lengths.clear();
    this.flow.clear();
    this.looksOn = 0;
    this.refusals.clear();
    this.good.clear();
    this.failed.clear();
    this.givenUp = 0;
    this.wasSlow = false;
  }
}
