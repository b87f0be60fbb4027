/**
 * Tells once, and for good, that something is to end, as an `AbortSignal` with its controller does. It
 * is no object of the engine's and sends no events: of those, each pair that a request makes and
 * listens to costs as much as choosing its node (`bun bench/request-cost.ts`).
 */
export class Signal {
  readonly #acts: (() => void)[] = [];
  #aborted = false;
  #reason: unknown;

  get aborted(): boolean {
    return this.#aborted;
  }

  /** Why; nothing while it is not aborted. */
  get reason(): unknown {
    return this.#reason;
  }

  /** The first call counts, others change nothing. */
  abort(reason: unknown): void {
    if (this.#aborted) return;
    this.#aborted = true;
    this.#reason = reason;
    for (const act of this.#acts.splice(0)) act();
  }

  /** Calls `act` when it is aborted, unless it has been before. */
  on(act: () => void): void {
    if (!this.#aborted) this.#acts.push(act);
  }

  /** Does not call `act` any more. */
  off(act: () => void): void {
    const at = this.#acts.indexOf(act);
    if (at >= 0) this.#acts.splice(at, 1);
  }

  /** @throws its reason, when it is aborted */
  throwIfAborted(): void {
    if (this.#aborted) throw this.#reason;
  }
}
