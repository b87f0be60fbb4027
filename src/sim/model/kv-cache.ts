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
  readonly #hashOfBlock: (BlockHash | null)[];
  readonly #blockOfHash = new Map<BlockHash, number>();
  /**
   * Blocks without a reference that the prefix cache holds, least recently used first: a ring of
   * neighbours, in which the number after the last block is both ends. -1: not in it.
   */
  readonly #before: Int32Array;
  readonly #after: Int32Array;
  #evictable = 0;
  #changes = 0;

  constructor(totalBlocks: number, prefixCache: boolean) {
    this.totalBlocks = totalBlocks;
    this.#prefixCache = prefixCache;
    this.#references = new Int32Array(totalBlocks);
    this.#hashOfBlock = new Array<BlockHash | null>(totalBlocks).fill(null);
    this.#before = new Int32Array(totalBlocks + 1).fill(-1);
    this.#after = new Int32Array(totalBlocks + 1).fill(-1);
    this.#before[totalBlocks] = totalBlocks;
    this.#after[totalBlocks] = totalBlocks;
    for (let block = totalBlocks - 1; block >= 0; block -= 1) this.#free.push(block);
  }

  /** Counts what may let a request in that had no room before: blocks given back or made findable. */
  get changes(): number {
    return this.#changes;
  }

  /** Blocks that can be had: empty ones and those only the prefix cache holds. */
  get availableBlocks(): number {
    return this.#free.length + this.#evictable;
  }

  /** Blocks without a reference that the prefix cache still holds. */
  get cachedBlocks(): number {
    return this.#evictable;
  }

  /** Blocks with at least one reference. */
  get usedBlocks(): number {
    return this.totalBlocks - this.availableBlocks;
  }

  /** As `ModelStats` has them. */
  get figures() {
    const { totalBlocks, usedBlocks, cachedBlocks } = this;
    const usage = (usedBlocks + cachedBlocks) / totalBlocks;
    const usageWithoutCached = usedBlocks / totalBlocks;
    return { totalBlocks, usedBlocks, cachedBlocks, usage, usageWithoutCached };
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
    let evictableTaken = 0;
    for (const block of cached) if (this.#after[block] !== -1) evictableTaken += 1;
    if (this.availableBlocks - evictableTaken < fresh) return null;
    for (const block of cached) this.#refer(block);
    const blocks = [...cached];
    for (let i = 0; i < fresh; i += 1) blocks.push(this.#takeOne());
    return blocks;
  }

  /**
   * Makes computed blocks of a prompt findable by their hashes, each unless an equal one already is.
   * @param from, to What was computed, in blocks: those that are full now, and were not.
   */
  publish(
    blocks: readonly number[],
    hashes: readonly BlockHash[] | undefined,
    from: number,
    to: number,
  ): void {
    if (!this.#prefixCache || hashes === undefined) return;
    const end = Math.min(Math.floor(to), hashes.length);
    for (let i = Math.floor(from); i < end; i += 1)
      this.#publishOne(blocks[i] ?? 0, hashes[i] ?? 0);
  }

  #publishOne(block: number, hash: BlockHash): void {
    if (this.#hashOfBlock[block] !== null || this.#blockOfHash.has(hash)) return;
    this.#blockOfHash.set(hash, block);
    this.#hashOfBlock[block] = hash;
    this.#changes += 1;
  }

  /** Gives back one reference to each block. The last block goes first, so that it is evicted first. */
  release(blocks: readonly number[]): void {
    this.#changes += 1;
    for (let i = blocks.length - 1; i >= 0; i -= 1) {
      const block = blocks[i];
      if (block === undefined) continue;
      const references = (this.#references[block] ?? 0) - 1;
      if (references < 0) throw new Error(`KV block ${block} was released once too often`);
      this.#references[block] = references;
      if (references > 0) continue;
      if (this.#hashOfBlock[block] === null) this.#free.push(block);
      else this.#append(block);
    }
  }

  #refer(block: number): void {
    if (this.#after[block] !== -1) this.#unlink(block);
    this.#references[block] = (this.#references[block] ?? 0) + 1;
  }

  #takeOne(): number {
    const block = this.#free.pop() ?? this.#evictOldest();
    this.#references[block] = 1;
    return block;
  }

  #evictOldest(): number {
    const oldest = this.#after[this.totalBlocks] ?? this.totalBlocks;
    if (this.#evictable === 0) throw new Error("no KV block is free: take() has to check first");
    this.#unlink(oldest);
    const hash = this.#hashOfBlock[oldest] ?? null;
    if (hash !== null) this.#blockOfHash.delete(hash);
    this.#hashOfBlock[oldest] = null;
    return oldest;
  }

  /** Puts a block at the end of those that may be evicted. */
  #append(block: number): void {
    const newest = this.#before[this.totalBlocks] ?? 0;
    this.#before[block] = newest;
    this.#after[block] = this.totalBlocks;
    this.#after[newest] = block;
    this.#before[this.totalBlocks] = block;
    this.#evictable += 1;
  }

  #unlink(block: number): void {
    const [before, after] = [this.#before[block] ?? 0, this.#after[block] ?? 0];
    this.#after[before] = after;
    this.#before[after] = before;
    this.#after[block] = -1;
    this.#evictable -= 1;
  }
}
