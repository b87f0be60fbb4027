import { type FailureKind, neverSent } from "./failure.ts";

/** Retries that are not free may make up this much of a model's requests of the last second, ... */
const BUDGET_FRACTION = 0.2;
/** ... plus so many a second, so that a quiet model can retry at all. Source: the defaults of Linkerd's budget, tightened. */
const BUDGET_BASE = 3;
const SLOT_MS = 100;
/** The slot that has just begun and nine before it: a second, or a little less. */
const REQUEST_SLOTS = 10;
/** One more: a second, or a little more, so that not even the edges of slots let a retry too many through. */
const RETRY_SLOTS = 11;

/** Counts the events of the last slots of `SLOT_MS`. */
class SlidingCount {
  readonly #slots: Uint32Array;
  #slot = 0;

  constructor(slots: number) {
    this.#slots = new Uint32Array(slots);
  }

  add(nowMs: number): void {
    const at = this.#advance(nowMs);
    this.#slots[at] = (this.#slots[at] ?? 0) + 1;
  }

  total(nowMs: number): number {
    this.#advance(nowMs);
    return this.#slots.reduce((sum, count) => sum + count, 0);
  }

  #advance(nowMs: number): number {
    const { length } = this.#slots;
    const slot = Math.floor(nowMs / SLOT_MS);
    if (slot - this.#slot >= length) this.#slots.fill(0);
    else for (let at = this.#slot + 1; at <= slot; at += 1) this.#slots[at % length] = 0;
    this.#slot = slot;
    return slot % length;
  }
}

/** One model's allowance of retries that are not free, so that an outage is not multiplied. */
export class RetryBudget {
  readonly #requests = new SlidingCount(REQUEST_SLOTS);
  readonly #retries = new SlidingCount(RETRY_SLOTS);

  /** A client's request for the model began. */
  request(nowMs: number): void {
    this.#requests.add(nowMs);
  }

  /** Takes one retry from the budget; false when it is spent. */
  draw(nowMs: number): boolean {
    const allowed = BUDGET_BASE + BUDGET_FRACTION * this.#requests.total(nowMs);
    if (this.#retries.total(nowMs) + 1 > allowed) return false;
    this.#retries.add(nowMs);
    return true;
  }

  /** Nothing happened in the last second: it may be forgotten. */
  idle(nowMs: number): boolean {
    return this.#requests.total(nowMs) === 0 && this.#retries.total(nowMs) === 0;
  }
}

/** More budgets than this are not kept without need: names of models come and go. */
const TIDY_AT = 1_024;

/** The retry budgets, one for each model that is asked for. */
export class RetryBudgets {
  readonly #budgets = new Map<string, RetryBudget>();
  readonly #now: () => number;

  /** @param now Monotonic clock, ms. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** A client's request for `model` began. */
  request(model: string | null): void {
    this.#of(model).request(this.#now());
  }

  /** Takes one retry from the model's budget; false when it is spent. */
  draw(model: string | null): boolean {
    return this.#of(model).draw(this.#now());
  }

  #of(model: string | null): RetryBudget {
    const key = model ?? "";
    let budget = this.#budgets.get(key);
    if (budget === undefined) {
      if (this.#budgets.size >= TIDY_AT) this.#tidy();
      budget = new RetryBudget();
      this.#budgets.set(key, budget);
    }
    return budget;
  }

  #tidy(): void {
    for (const [key, budget] of this.#budgets) {
      if (budget.idle(this.#now())) this.#budgets.delete(key);
    }
  }
}

export interface RetryRules {
  /** Whether any retry is made (`--no-retry` turns all off). */
  readonly retry: boolean;
  /** Whether a request that was sent and got no answer may be sent again (`--no-retry-sent`). */
  readonly retrySent: boolean;
}

const MOST_FREE_LOSSES = 2;
const MOST_BUSY = 2;
const MOST_BAD_ANSWERS = 2;
/** An engine with another key or model than its peers refuses what they answer: one more is asked. */
const MOST_REFUSALS = 1;

/** One request's attempts so far, and whether it may have one more. */
export class RetryState {
  readonly #rules: RetryRules;
  readonly #draw: () => boolean;
  #neverSent = 0;
  #lost = 0;
  #busy = 0;
  #internalErrors = 0;
  #badAnswers = 0;
  #refusals = 0;

  /** @param draw Takes one retry from the model's budget; false when it is spent. */
  constructor(rules: RetryRules, draw: () => boolean) {
    this.#rules = rules;
    this.#draw = draw;
  }

  /**
   * The attempt failed before the client saw a byte; may there be another on another node?
   * A retry after a lost connection is free, since the alternative is certain failure; a request
   * that was sent is sent again once at most, since it may be what killed the engine.
   * @param tookOut Whether the node went out for it, which bounds how many there can be; if not, a
   * retry after a lost connection comes out of the budget.
   */
  afterFailure(kind: FailureKind, tookOut = true): boolean {
    if (!this.#rules.retry) return false;
    if (kind === "timeout") return this.#rules.retrySent && this.#afterBadAnswer();
    if (neverSent(kind)) {
      this.#neverSent += 1;
      if (this.#lost === 0) return this.#neverSent <= MOST_FREE_LOSSES;
      return this.#neverSent <= 1 && this.#draw();
    }
    this.#lost += 1;
    if (!this.#rules.retrySent || this.#lost > 1) return false;
    return (this.#neverSent === 0 && tookOut) || this.#draw();
  }

  /** Whether a request that was sent, and of which nothing is known, may be sent to another node. */
  get maySendAgain(): boolean {
    return this.#rules.retry && this.#rules.retrySent && this.#lost === 0;
  }

  /** The engine answered with a status that another node may do better than; may it be asked? */
  afterStatus(status: number): boolean {
    if (!this.#rules.retry) return false;
    if (status === 429 || status === 503) {
      this.#busy += 1;
      return this.#busy <= MOST_BUSY;
    }
    if (status === 500) {
      this.#internalErrors += 1;
      return this.#internalErrors <= 1 && this.#draw();
    }
    if (isRefused(status)) {
      this.#refusals += 1;
      return this.#refusals <= MOST_REFUSALS;
    }
    return (status === 502 || status === 504) && this.#afterBadAnswer();
  }

  /**
   * The engine refused what its peers may answer, or answered with nothing: may one of them show that? Once.
   * @param mayHaveRun Nothing came of it, and yet it may have been computed.
   * @param isKnown They have answered what it refused before: that is free, or it would have to be out, and they had more.
   */
  afterDoubt(mayHaveRun: boolean, isKnown = false): boolean {
    if (!this.#rules.retry || (mayHaveRun && !this.#rules.retrySent)) return false;
    if (mayHaveRun) this.#lost += 1;
    this.#refusals += 1;
    if (this.#refusals > MOST_REFUSALS || this.#lost > 1) return false;
    return (isKnown && !mayHaveRun) || this.#draw();
  }

  /** Whether `afterDoubt` may grant a retry. */
  get mayFollowDoubt(): boolean {
    return this.#rules.retry && this.#refusals < MOST_REFUSALS && this.#lost <= 1;
  }

  /** Whether another node may be asked, free, if a 500 turns out to be its node's fault: once. */
  get mayFollowNodesFault(): boolean {
    return this.#rules.retry && this.#internalErrors === 1 && this.#lost === 0;
  }

  #afterBadAnswer(): boolean {
    this.#badAnswers += 1;
    return this.#badAnswers <= MOST_BAD_ANSWERS && this.#draw();
  }
}

/** Whether a status is one that `afterStatus` could ever grant a retry for. */
export function isRetriable(status: number): boolean {
  return status === 429 || status === 500 || (status >= 502 && status <= 504) || isRefused(status);
}

/** Refused at once, before anything was computed, and by what the engine was started with. */
function isRefused(status: number): boolean {
  return status === 401 || status === 403 || status === 404;
}
