/**
 * Which nodes were sent which blocks of prompts, and when last: a bounded table from a block's hash to a
 * set of nodes, with who was sent it last. All nodes' prefixes fall out of one walk over a prompt's blocks.
 *
 * Set-associative, as a processor's cache is: a hash has its place in one group of eight, which lie
 * together, and the least recently used of them makes room for a new one. It never grows, and needs no
 * list of what to forget.
 */

const WAYS = 8;
/** Numbers of an entry: its hash, when it was used last (0: never), by whom, and when last by another. */
const STRIDE = 4;
/** Nodes that one word of a set stands for. */
const WORD = 32;
/** How finely the time of use is kept, ms: as a whole number of 32 bits it lasts for a year. */
const TICK_MS = 10;

/** When a block was used. Of more than two nodes that have it the others' last use may be longer ago than is known. */
export interface BlockUse {
  readonly atMs: number;
  /** The node that used it then. */
  readonly slot: number;
  /** When another one did, ms. */
  readonly beforeMs: number;
}

export class PrefixIndex {
  readonly #mask: number;
  readonly #entries: Uint32Array;
  #words = 1;
  /** A set of nodes for each entry. */
  #nodes: Uint32Array;
  /** Nodes that have all blocks walked so far. */
  #having = new Int32Array(1);

  /** @param entries How many blocks it remembers, a power of two, 8 or more. */
  constructor(entries: number) {
    this.#mask = entries / WAYS - 1;
    this.#entries = new Uint32Array(entries * STRIDE);
    this.#nodes = new Uint32Array(entries);
  }

  /** Makes room for a node with this slot. */
  reserve(slot: number): void {
    const before = this.#words;
    const words = Math.floor(slot / WORD) + 1;
    if (words <= before) return;
    const nodes = new Uint32Array((this.#entries.length / STRIDE) * words);
    this.#nodes.forEach((set, at) => {
      nodes[Math.floor(at / before) * words + (at % before)] = set;
    });
    this.#words = words;
    this.#nodes = nodes;
    this.#having = new Int32Array(words);
  }

  /** The node was sent these blocks. */
  add(slot: number, blocks: readonly number[], nowMs: number): void {
    const words = this.#words;
    const word = slot >>> 5;
    const bit = 1 << (slot & 31);
    const tick = Math.floor(nowMs / TICK_MS) + 1;
    for (const hash of blocks) {
      const known = this.#find(hash);
      const entry = known < 0 ? this.#make(hash) : known;
      const use = entry * STRIDE;
      if (this.#entries[use + 2] !== slot) this.#entries[use + 3] = this.#entries[use + 1] ?? 0;
      this.#entries[use + 1] = tick;
      this.#entries[use + 2] = slot;
      const at = entry * words + word;
      this.#nodes[at] = (this.#nodes[at] ?? 0) | bit;
    }
  }

  /** The node has nothing any more of what it was sent. */
  forget(slot: number): void {
    const others = ~(1 << (slot & 31));
    for (let at = slot >>> 5; at < this.#nodes.length; at += this.#words) {
      this.#nodes[at] = (this.#nodes[at] ?? 0) & others;
    }
  }

  /**
   * How many of `blocks`, from the first on, each node was sent.
   * @param depths By slot, filled with counts; longer than the highest slot.
   * @param uses By block, filled with when it was used last.
   */
  walk(blocks: readonly number[], depths: Uint16Array, uses: BlockUse[]): void {
    depths.fill(0);
    uses.length = 0;
    this.#having.fill(-1);
    let depth = 0;
    for (; depth < blocks.length; depth += 1) {
      const entry = this.#find(blocks[depth] ?? 0);
      if (entry < 0 || !this.#narrow(entry, depth, depths)) break;
      uses.push(this.#useOf(entry));
    }
    if (depth === 0) return;
    for (let word = 0; word < this.#words; word += 1) {
      setDepths(depths, word, this.#having[word] ?? 0, depth);
    }
  }

  #useOf(entry: number): BlockUse {
    const entries = this.#entries;
    const use = entry * STRIDE;
    return {
      atMs: (entries[use + 1] ?? 0) * TICK_MS,
      slot: entries[use + 2] ?? 0,
      beforeMs: (entries[use + 3] ?? 0) * TICK_MS,
    };
  }

  /** Those that have this block, too, are left; the others have `depth` blocks. Whether any is left. */
  #narrow(entry: number, depth: number, depths: Uint16Array): boolean {
    const words = this.#words;
    const having = this.#having;
    let some = 0;
    for (let word = 0; word < words; word += 1) {
      const before = having[word] ?? 0;
      if (before === 0) continue;
      const left = before & (this.#nodes[entry * words + word] ?? 0);
      some |= left;
      if (left === before) continue;
      having[word] = left;
      if (depth > 0) setDepths(depths, word, before & ~left, depth);
    }
    // With none left the walk ends here: whoever was left before has been counted.
    return some !== 0;
  }

  /** -1: it is not there. */
  #find(hash: number): number {
    const entries = this.#entries;
    const first = (hash & this.#mask) * WAYS;
    for (let entry = first; entry < first + WAYS; entry += 1) {
      if (entries[entry * STRIDE] === hash && entries[entry * STRIDE + 1] !== 0) return entry;
    }
    return -1;
  }

  /** The place of a new hash: an empty one, else that of the least recently used. */
  #make(hash: number): number {
    const entries = this.#entries;
    const first = (hash & this.#mask) * WAYS;
    let oldest = first;
    for (let entry = first + 1; entry < first + WAYS; entry += 1) {
      if ((entries[entry * STRIDE + 1] ?? 0) < (entries[oldest * STRIDE + 1] ?? 0)) oldest = entry;
    }
    entries[oldest * STRIDE] = hash;
    entries.fill(0, oldest * STRIDE + 1, (oldest + 1) * STRIDE);
    this.#nodes.fill(0, oldest * this.#words, (oldest + 1) * this.#words);
    return oldest;
  }
}

function setDepths(depths: Uint16Array, word: number, set: number, depth: number): void {
  for (let bits = set; bits !== 0; bits &= bits - 1) {
    depths[word * WORD + 31 - Math.clz32(bits & -bits)] = depth;
  }
}
