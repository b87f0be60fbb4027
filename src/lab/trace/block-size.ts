/** Fewer blocks say too little of how long one is. */
const LEAST_BLOCKS = 4;

/** How many tokens a block has: files go by a format's names and have blocks of other sizes. */
export class BlockSize {
  #stated = 0;
  #votes = 0;
  readonly #sizes = new Map<number, number>();

  /** As the file says, the first time that it does; less than 1 is no word. */
  state(tokens: number): void {
    if (this.#stated === 0 && tokens >= 1) this.#stated = Math.round(tokens);
  }

  /** A prompt speaks for the power of two that fits it. */
  fit(inputTokens: number, blocks: number): void {
    if (blocks < LEAST_BLOCKS) return;
    const size = Math.max(1, 2 ** Math.round(Math.log2(inputTokens / blocks)));
    this.#votes += 1;
    this.#sizes.set(size, (this.#sizes.get(size) ?? 0) + 1);
  }

  /** As stated, else what fits most prompts, else `usual`. */
  or(usual: number): number {
    if (this.#stated > 0) return this.#stated;
    for (const [size, votes] of this.#sizes) if (2 * votes > this.#votes) return size;
    return usual;
  }
}
