/**
 * The KV cache of a simulated engine: numbered blocks with reference counts and a prefix cache.
 *
 * As in PagedAttention (Kwon et al., SOSP '23) and LMDeploy's block manager: a full block of a
 * prompt is known by a hash that stands for its tokens and all before them; sequences that begin
 * alike share it. When nobody refers to such a block any more it stays, evictable, least recently
 * used first, until its room is needed.
 */

/** Identifies the content of a full block and of all blocks before it. */
export type BlockHash = number;

export class KvCache {
  readonly totalBlocks: number;
  readonly #prefixCache: boolean;
  readonly #free: number[] = [];
  readonly #references: Int32Array;
  readonly #hashOfBlock = new Map<number, BlockHash>();
  readonly #blockOfHash = new Map<BlockHash, number>();
  /** Blocks without a reference that the prefix cache holds, least recently used first. */
  readonly #evictable = new Set<number>();

  constructor(totalBlocks: number, prefixCache: boolean) {
    this.totalBlocks = totalBlocks;
    this.#prefixCache = prefixCache;
    this.#references = new Int32Array(totalBlocks);
    for (let block = totalBlocks - 1; block >= 0; block -= 1) this.#free.push(block);
  }

  /** Blocks that can be had: empty ones and those only the prefix cache holds. */
  get availableBlocks(): number {
    return this.#free.length + this.#evictable.size;
  }

  /** Blocks without a reference that the prefix cache still holds. */
  get cachedBlocks(): number {
    return this.#evictable.size;
  }

  /** Blocks with at least one reference. */
  get usedBlocks(): number {
    return this.totalBlocks - this.availableBlocks;
  }

  /** Blocks at the head of `hashes` that are cached, without taking them. */
  matchingBlocks(hashes: readonly BlockHash[]): readonly number[] {
    const matched: number[] = [];
    for (const hash of hashes) {
      const block = this.#blockOfHash.get(hash);
      if (block === undefined) break;
      matched.push(block);
    }
    return matched;
  }

  /**
   * Takes the cached blocks given and `fresh` new ones, or nothing: `null` when there is no room.
   * The result lists the cached blocks first.
   */
  take(cached: readonly number[], fresh: number): number[] | null {
    const evictableTaken = cached.filter((block) => this.#evictable.has(block)).length;
    if (this.availableBlocks - evictableTaken < fresh) return null;
    for (const block of cached) this.#refer(block);
    const blocks = [...cached];
    for (let i = 0; i < fresh; i += 1) blocks.push(this.#takeOne());
    return blocks;
  }

  /** Makes a computed block findable by its hash, unless an equal one already is. */
  publish(block: number, hash: BlockHash): void {
    if (!this.#prefixCache || this.#blockOfHash.has(hash) || this.#hashOfBlock.has(block)) return;
    this.#blockOfHash.set(hash, block);
    this.#hashOfBlock.set(block, hash);
  }

  /** Gives back one reference to each block. The last block goes first, so that it is evicted first. */
  release(blocks: readonly number[]): void {
    for (let i = blocks.length - 1; i >= 0; i -= 1) {
      const block = blocks[i];
      if (block === undefined) continue;
      const references = (this.#references[block] ?? 0) - 1;
      if (references < 0) throw new Error(`KV block ${block} was released once too often`);
      this.#references[block] = references;
      if (references > 0) continue;
      if (this.#hashOfBlock.has(block)) this.#evictable.add(block);
      else this.#free.push(block);
    }
  }

  #refer(block: number): void {
    this.#evictable.delete(block);
    this.#references[block] = (this.#references[block] ?? 0) + 1;
  }

  #takeOne(): number {
    const block = this.#free.pop() ?? this.#evictOldest();
    this.#references[block] = 1;
    return block;
  }

  #evictOldest(): number {
    const [oldest] = this.#evictable;
    if (oldest === undefined) throw new Error("no KV block is free: take() has to check first");
    this.#evictable.delete(oldest);
    const hash = this.#hashOfBlock.get(oldest);
    if (hash !== undefined) this.#blockOfHash.delete(hash);
    this.#hashOfBlock.delete(oldest);
    return oldest;
  }
}
