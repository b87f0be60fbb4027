import { ProxyError } from "../core/errors.ts";
import { Signal } from "../core/signal.ts";

/** Bounds what a request waits for while no attempt of its is open; those are ended by `Deadlines`. */
export class TimeLeft {
  /** Aborts as the request's does, or with the `ProxyError` that its client gets when its time is over. */
  readonly signal = new Signal();
  readonly #request: Signal;
  readonly #after: (ms: number, act: () => void) => () => void;
  #cancel = () => {};

  constructor(request: Signal, after: (ms: number, act: () => void) => () => void) {
    this.#request = request;
    this.#after = after;
    if (request.aborted) this.#onAbort();
    else request.on(this.#onAbort);
  }

  /** From now on it may wait for so long, ms; null for no limit. */
  begin(leftMs: number | null): void {
    if (leftMs === null) return;
    this.#cancel = this.#after(Math.max(leftMs, 0), () => this.signal.abort(tookTooLong()));
  }

  /** Nothing waits any more. */
  stop(): void {
    this.#request.off(this.#onAbort);
    this.#cancel();
  }

  readonly #onAbort = () => this.signal.abort(this.#request.reason);
}

function tookTooLong(): ProxyError {
  const message = "The request took too long: no complete answer within the total time limit.";
  return new ProxyError("upstream_timeout", message);
}
