/** Which blocks of prompts were sent to which engine, the least recently used ones forgotten. */
export class PrefixTable {
  readonly #blocksPerEngine: number;
  readonly #engines = new Map<number, Map<number, true>>();

  constructor(blocksPerEngine: number) {
    this.#blocksPerEngine = blocksPerEngine;
  }

  /** How many of `blocks`, from the first on, the engine was sent before. */
  match(id: number, blocks: readonly number[]): number {
    const known = this.#engines.get(id);
    if (known === undefined) return 0;
    let count = 0;
    while (count < blocks.length && known.has(blocks[count] ?? -1)) count += 1;
    return count;
  }

  add(id: number, blocks: readonly number[]): void {
    const known = this.#engines.get(id) ?? new Map<number, true>();
    this.#engines.set(id, known);
    for (const block of blocks) {
      known.delete(block);
      known.set(block, true);
    }
    for (const [oldest] of known) {
      if (known.size <= this.#blocksPerEngine) break;
      known.delete(oldest);
    }
  }
}
