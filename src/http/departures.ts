import type { Clock } from "../core/clock.ts";
import type { Exchange } from "../core/exchange.ts";
import type { Signal } from "../core/signal.ts";

/** Whoever leaves sooner is noticed after this, or after twice as long, ms. */
const LISTEN_AFTER_MS = 10;

/**
 * Tells requests that their clients have left. To listen to a connection costs as much as to choose a node
 * (`bun bench/request-cost.ts`), and short requests are over before: it is listened to for those that stay.
 */
export class Departures {
  readonly #clock: Pick<Clock, "after">;
  /** Those that had begun before the last look, and since: with many short requests most of these are about to be over. */
  #before: Exchange[] = [];
  #since: Exchange[] = [];
  readonly #look = () => {
    for (const { ended, request, signal } of this.#before) {
      if (ended === null) listen(request.signal, signal);
    }
    this.#before = this.#since;
    this.#since = [];
    if (this.#before.length > 0) this.#clock.after(LISTEN_AFTER_MS, this.#look);
  };

  constructor(clock: Pick<Clock, "after">) {
    this.#clock = clock;
  }

  /** Aborts the signal of `exchange` when its client leaves, with the reason of its request's own. */
  watch(exchange: Exchange): void {
    this.#since.push(exchange);
    const isFirst = this.#since.length === 1 && this.#before.length === 0;
    if (isFirst) this.#clock.after(LISTEN_AFTER_MS, this.#look);
  }
}

/** Bun keeps the signal of a request whose client has left, also when nobody had asked for it before. */
function listen(signal: AbortSignal, left: Signal): void {
  if (signal.aborted) left.abort(signal.reason);
  else signal.addEventListener("abort", () => left.abort(signal.reason), { once: true });
}
