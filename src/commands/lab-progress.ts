/** How far the laboratory is: one line on standard error, if somebody looks at it. */

/** More often nobody can read it, ms. */
const LEAST_MS = 100;

export class Progress implements Disposable {
  readonly #runs: number;
  readonly #isShown: boolean;
  #done = 0;
  #lastMs = Number.NEGATIVE_INFINITY;

  constructor(runs: number, isShown: boolean) {
    this.#runs = runs;
    this.#isShown = isShown;
  }

  /** Whether it is of any use to tell. */
  get isHeard(): boolean {
    return this.#isShown || process.send !== undefined;
  }

  /** A run is over. */
  step(what = ""): void {
    this.#done += 1;
    this.#lastMs = Number.NEGATIVE_INFINITY;
    this.at(what);
  }

  /** What is done just now. @param share Of it, 0 to 1, where that is known. */
  at(what: string, share?: number): void {
    const nowMs = performance.now();
    if (!this.isHeard || nowMs - this.#lastMs < LEAST_MS) return;
    this.#lastMs = nowMs;
    const percent = share === undefined ? "" : `, ${Math.floor(100 * share)} %`;
    // A process that does a part of the work tells the one that shows it.
    if (process.send !== undefined) process.send(`${what}${percent}`);
    else this.#show(`${this.#done} of ${this.#runs} runs  ${what}${percent}`);
  }

  end(): void {
    if (process.send === undefined) this.#show("");
  }

  /** What went wrong is said on a line of its own. */
  [Symbol.dispose](): void {
    this.end();
  }

  #show(text: string): void {
    if (this.#isShown) process.stderr.write(`\r\u001b[K${text}`);
  }
}
