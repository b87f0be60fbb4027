/** Nothing asked of a node or its peers for so long: no trial will show that it is well again, ms. */
export const QUIET_MS = 3_000;
/** A node that answered somebody this long ago goes on answering, ms: what failed there was the request. */
export const SERVED_LATELY_MS = 2_000;

/** A node ejected for its answers waits this long for its first trial request; each failed trial doubles it. */
const FIRST_TRIAL_WAIT_MS = 1_000;
/** What stands still on trial cannot move any more. */
const FIRST_STALLED_WAIT_MS = 5_000;
const LONGEST_TRIAL_WAIT_MS = 30_000;
/** One that is slow, or was hung, is to be found again within half a minute. */
const LONGEST_LATE_WAIT_MS = 20_000;
/** As long as it is slow it gets less than a tenth of its share. */
const OTHERS_FIRST = 12;
/** A slow engine is quick now and then: so many good ones in a row bring it back. */
const PASSES_WHEN_LATE = 3;
/** One that is out again so soon was never well, ms. */
const SOON_AGAIN_MS = 60_000;

/**
 * Why a node is out although it answers probes:
 *
 * - `answers`: its answers were errors, or connections were lost.
 * - `refused`: it refuses what its peers answer.
 * - `late`: it answers nothing, or slowly, beside its peers.
 * - `short`: it ends at once what its peers answer at length.
 * - `stalled`: its streams stand still while those of its peers go on.
 */
export type Doubt = "answers" | "refused" | "late" | "short" | "stalled";

/** Whether the head of an answer shows already that a node is out for it no more. */
export function isShownByHead(doubt: Doubt | null): boolean {
  return doubt === null || doubt === "answers" || doubt === "refused";
}

/** How a node that answers its probes, and is out all the same, gets single requests that decide about it. */
export class Trials {
  #doubt: Doubt = "answers";
  #dueAtMs = 0;
  #waitMs = FIRST_TRIAL_WAIT_MS;
  /** The one that failed last, and how long the next had waited but for it, ms. */
  #failed: object | null = null;
  #waitedMs = FIRST_TRIAL_WAIT_MS;
  #passed = 0;
  #backAtMs = Number.NEGATIVE_INFINITY;
  /** The request that is on trial, or null. */
  #open: object | null = null;
  /** Nothing is asked of the node or its peers, so that no trial comes: the next one need not wait. */
  onParole = false;

  /** Why it is out. */
  get doubt(): Doubt {
    return this.#doubt;
  }

  /** The node is out from now on. */
  begin(why: Doubt, nowMs: number): void {
    // One that came back by luck waits on from where it was.
    const again = why !== "answers" && why !== "refused" && nowMs - this.#backAtMs < SOON_AGAIN_MS;
    const firstMs = why === "stalled" ? FIRST_STALLED_WAIT_MS : FIRST_TRIAL_WAIT_MS;
    this.#waitMs = again ? Math.min(this.#waitMs * 2, LONGEST_LATE_WAIT_MS) : firstMs;
    this.#doubt = why;
    this.#passed = 0;
    this.#dueAtMs = nowMs + this.#waitMs;
    this.#open = null;
    this.#failed = null;
  }

  /** It may have one request. @param othersHad Requests since its last one, for each of its peers. */
  due(nowMs: number, othersHad: number): boolean {
    if (this.#open !== null) return false;
    if (this.onParole) return true;
    // Whoever gets a slow trial waits: of few requests as few, also when that takes long.
    const isRationed = this.#doubt === "late" && this.#passed === 0;
    return nowMs >= this.#dueAtMs && (!isRationed || othersHad >= OTHERS_FIRST);
  }

  /** The one request was sent; `trial` stands for it. */
  started(trial: object): void {
    this.#open = trial;
  }

  /** Whether `trial` is the one that was open, and is so no more. */
  ended(trial: object): boolean {
    if (this.#open !== trial) return false;
    this.#open = null;
    return true;
  }

  /** One was good. Whether that brings the node back; if not, the next one need not wait. */
  passed(nowMs: number): boolean {
    this.#passed += 1;
    this.#dueAtMs = nowMs;
    if (this.#doubt === "late" && this.#passed < PASSES_WHEN_LATE) return false;
    this.#backAtMs = nowMs;
    return true;
  }

  /** The next one has to wait twice as long. */
  failed(trial: object, nowMs: number): void {
    this.#failed = trial;
    this.#waitedMs = this.#waitMs;
    this.onParole = false;
    this.#passed = 0;
    const longestMs = this.#doubt === "late" ? LONGEST_LATE_WAIT_MS : LONGEST_TRIAL_WAIT_MS;
    this.#waitMs = Math.min(this.#waitMs * 2, longestMs);
    this.#dueAtMs = nowMs + this.#waitMs;
  }

  /** `trial`, which has failed, has shown nothing after all: the next one waits as long as it did. */
  showedNothing(trial: object, nowMs: number): void {
    if (this.#failed !== trial) return;
    this.#failed = null;
    this.#waitMs = this.#waitedMs;
    this.#dueAtMs = nowMs + this.#waitMs;
  }

  /** The node is out no more, or out for another reason. */
  over(): void {
    this.#open = null;
    this.#failed = null;
    this.onParole = false;
  }
}
