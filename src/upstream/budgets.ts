import { RetryBudget } from "../core/retry.ts";

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
