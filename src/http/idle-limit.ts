import type { Clock } from "../core/clock.ts";
import type { Exchange, Exchanges } from "../core/exchange.ts";
import type { BunServer } from "./bun-server.ts";

/**
 * Bun's server closes a connection that stands still for `--keep-alive`, also while an engine thinks.
 * That limit is lifted from exchanges that stay open, and put back when they end. Most end before,
 * and need not pay for lifting it and putting it back.
 */
export class IdleLimit {
  readonly #server: () => Pick<BunServer, "timeout">;
  readonly #exchanges: Exchanges;
  readonly #clock: Pick<Clock, "now" | "every">;
  readonly #keepAliveS: number;
  readonly #lifted = new Set<Exchange>();
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #stop: (() => void) | null = null;

  constructor(
    server: () => Pick<BunServer, "timeout">,
    exchanges: Exchanges,
    clock: Pick<Clock, "now" | "every">,
    keepAliveS: number,
  ) {
    this.#server = server;
    this.#exchanges = exchanges;
    this.#clock = clock;
    this.#keepAliveS = keepAliveS;
  }

  start(): void {
    // Lifted at a request's second look, so after half of the limit at most.
    const everyMs = (this.#keepAliveS * 1_000) / 4;
    const stopLooking = this.#clock.every(everyMs, () => this.look());
    const unsubscribe = this.#exchanges.subscribe((exchange) => this.#putBack(exchange));
    this.#stop = () => {
      stopLooking();
      unsubscribe();
    };
  }

  stop(): void {
    this.#stop?.();
    this.#stop = null;
  }

  /** Lifts the limit from exchanges that were open at the last look, too. */
  look(): void {
    for (const exchange of this.#exchanges.open) {
      if (exchange.beganAtMs > this.#lookedAtMs || this.#lifted.has(exchange)) continue;
      this.#lifted.add(exchange);
      this.#server().timeout(exchange.request, 0);
    }
    this.#lookedAtMs = this.#clock.now();
  }

  #putBack(exchange: Exchange): void {
    if (this.#lifted.size === 0 || !this.#lifted.delete(exchange)) return;
    if (exchange.ended?.how === "client_gone") return;
    this.#server().timeout(exchange.request, this.#keepAliveS);
  }
}
