/** A count of which less and less remains: `1/e` after so many ms. */
const FADES_MS = 30_000;

export class FadingCount {
  #count = 0;
  #atMs = 0;

  add(nowMs: number): void {
    this.#count = this.at(nowMs) + 1;
    this.#atMs = nowMs;
  }

  at(nowMs: number): number {
    return this.#count === 0 ? 0 : this.#count * Math.exp((this.#atMs - nowMs) / FADES_MS);
  }

  clear(): void {
    this.#count = 0;
  }
}
