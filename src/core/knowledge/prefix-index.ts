/**
 * Which nodes were sent which blocks of prompts, and when last: a bounded table from a block's hash to a
 * set of nodes, with who was sent it last. All nodes' prefixes fall out of one walk over a prompt's blocks.
 *
 * Set-associative, as a processor's cache is: a hash has its place in one group of eight, which lie
 * together, and the least recently used of them makes room for a new one. So it needs no list of what to
 * forget. It grows with what it is told, up to its bound: memory that is of no use yet makes the process's
 * caches colder, and its garbage larger before it is collected.
 */

const WAYS = 8;
/** Numbers of an entry: its hash, when it was used last (0: never), by whom, and when last by another. */
const STRIDE = 4;
/** Nodes that one word of a set stands for. */
const WORD = 32;
/** How finely the time of use is kept, ms: as a whole number of 32 bits it lasts for a year. */
const TICK_MS = 10;

/** It begins with room for so many blocks, and gets twice as much when so much of it is taken: hardly a group is full then. */
const FIRST_ENTRIES = 2 ** 14;
const FULL = 1 / 8;

/** When each block of a prompt was used, in columns that are used again for the next prompt. */
export class BlockUses {
  length = 0;
  #ticks = new Uint32Array(64);
  #slots = new Uint32Array(64);
  #ticksBefore = new Uint32Array(64);

  add(tick: number, slot: number, tickBefore: number): void {
    const at = this.length;
    if (at === this.#ticks.length) {
      this.#ticks = longer(this.#ticks);
      this.#slots = longer(this.#slots);
      this.#ticksBefore = longer(this.#ticksBefore);
    }
    this.#ticks[at] = tick;
    this.#slots[at] = slot;
    this.#ticksBefore[at] = tickBefore;
    this.length = at + 1;
  }

  /** The node that used the block last. */
  slot(at: number): number {
    return this.#slots[at] ?? 0;
  }

  /**
   * When the node of this slot may have used the block, ms: the last use, if that was its own, else the last
   * of another node's. Of more than two nodes that have it the others' may be longer ago than is known.
   * @param slot Null: any node but that which used it last.
   */
  usedAtMs(at: number, slot: number | null): number {
    const ticks = this.#slots[at] === slot ? this.#ticks : this.#ticksBefore;
    return (ticks[at] ?? 0) * TICK_MS;
  }
}

export class PrefixIndex {
  readonly #most: number;
  /** Blocks it has room for, and those it has. */
  #size: number;
  #count = 0;
  #entries: Uint32Array;
  #words = 1;
  /** A set of nodes for each entry. */
  #nodes: Uint32Array;
  /** Nodes that have all blocks walked so far. */
  #having = new Int32Array(1);

  /** @param most How many blocks it remembers, a power of two, 8 or more. */
  constructor(most: number) {
    this.#most = most;
    this.#size = Math.min(most, FIRST_ENTRIES);
    this.#entries = new Uint32Array(this.#size * STRIDE);
    this.#nodes = new Uint32Array(this.#size);
  }

  /** Makes room for a node with this slot. */
  reserve(slot: number): void {
    const before = this.#words;
    const words = Math.floor(slot / WORD) + 1;
    if (words <= before) return;
    const nodes = new Uint32Array(this.#size * words);
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
  walk(blocks: readonly number[], depths: Uint16Array, uses: BlockUses): void {
    depths.fill(0);
    uses.length = 0;
    this.#having.fill(-1);
    let depth = 0;
    for (; depth < blocks.length; depth += 1) {
      const entry = this.#find(blocks[depth] ?? 0);
      if (entry < 0 || !this.#narrow(entry, depth, depths)) break;
      const use = entry * STRIDE;
      const entries = this.#entries;
      uses.add(entries[use + 1] ?? 0, entries[use + 2] ?? 0, entries[use + 3] ?? 0);
    }
    if (depth === 0) return;
    for (let word = 0; word < this.#words; word += 1) {
      setDepths(depths, word, this.#having[word] ?? 0, depth);
    }
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
    const first = this.#groupOf(hash);
    for (let entry = first; entry < first + WAYS; entry += 1) {
      if (entries[entry * STRIDE] === hash && entries[entry * STRIDE + 1] !== 0) return entry;
    }
    return -1;
  }

  /** The first of the places where a hash may be. */
  #groupOf(hash: number): number {
    return (hash & (this.#size / WAYS - 1)) * WAYS;
  }

  /** The place of a new hash: an empty one, else that of the least recently used. */
  #make(hash: number): number {
    if (this.#count >= this.#size * FULL && this.#size < this.#most) this.#double();
    const entries = this.#entries;
    const first = this.#groupOf(hash);
    let oldest = first;
    for (let entry = first + 1; entry < first + WAYS; entry += 1) {
      if ((entries[entry * STRIDE + 1] ?? 0) < (entries[oldest * STRIDE + 1] ?? 0)) oldest = entry;
    }
    if (entries[oldest * STRIDE + 1] === 0) this.#count += 1;
    entries[oldest * STRIDE] = hash;
    entries.fill(0, oldest * STRIDE + 1, (oldest + 1) * STRIDE);
    this.#nodes.fill(0, oldest * this.#words, (oldest + 1) * this.#words);
    return oldest;
  }

  /** Each group becomes two, so that what it has finds room in them. */
  #double(): void {
    const [entries, nodes, words] = [this.#entries, this.#nodes, this.#words];
    const before = this.#size;
    this.#size = 2 * before;
    this.#entries = new Uint32Array(this.#size * STRIDE);
    this.#nodes = new Uint32Array(this.#size * words);
    for (let from = 0; from < before; from += 1) {
      if (entries[from * STRIDE + 1] === 0) continue;
      let to = this.#groupOf(entries[from * STRIDE] ?? 0);
      while (this.#entries[to * STRIDE + 1] !== 0) to += 1;
      for (let at = 0; at < STRIDE; at += 1) {
        this.#entries[to * STRIDE + at] = entries[from * STRIDE + at] ?? 0;
      }
      for (let at = 0; at < words; at += 1) {
        this.#nodes[to * words + at] = nodes[from * words + at] ?? 0;
      }
    }
  }
}

function longer(before: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> {
  const array = new Uint32Array(before.length * 2);
  array.set(before);
  return array;
}

function setDepths(depths: Uint16Array, word: number, set: number, depth: number): void {
  for (let bits = set; bits !== 0; bits &= bits - 1) {
    depths[word * WORD + 31 - Math.clz32(bits & -bits)] = depth;
  }
}
