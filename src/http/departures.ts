import type { Clock } from "../core/clock.ts";
import type { Exchange } from "../core/exchange.ts";
import type { Signal } from "../core/signal.ts";

/** Whoever leaves sooner is noticed then, ms. */
const LISTEN_AFTER_MS = 10;

/**
 * Tells requests that their clients have left. To listen to a connection costs as much as to choose a node
 * (`bun bench/request-cost.ts`), and short requests are over before: it is listened to for those that stay.
 */
export class Departures {
  readonly #clock: Pick<Clock, "after">;
  #awaited: Exchange[] = [];
  readonly #listen = () => {
    const awaited = this.#awaited;
    this.#awaited = [];
    for (const { ended, request, signal } of awaited) {
      if (ended === null) listen(request.signal, signal);
    }
  };

  constructor(clock: Pick<Clock, "after">) {
    this.#clock = clock;
  }

  /** Aborts the signal of `exchange` when its client leaves, with the reason of its request's own. */
  watch(exchange: Exchange): void {
    this.#awaited.push(exchange);
    if (this.#awaited.length === 1) this.#clock.after(LISTEN_AFTER_MS, this.#listen);
  }
}

/** Bun keeps the signal of a request whose client has left, also when nobody had asked for it before. */
function listen(signal: AbortSignal, left: Signal): void {
  if (signal.aborted) left.abort(signal.reason);
  else signal.addEventListener("abort", () => left.abort(signal.reason), { once: true });
}
