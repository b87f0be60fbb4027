/**
 * How much of what a node was sent it still has: learned, since nobody says how large its prefix cache
 * is, or whether it has one.
 *
 * Two things are learned. How old a prefix may be, counted in what the node has taken in since it was
 * used last, until it is evicted (engines evict what was least recently used); and which share of what
 * is younger is found.
 */

/** What is believed until there is something to learn from, bytes: about a million tokens. */
const FIRST_CAPACITY = 4 * 2 ** 20;
const LEAST_CAPACITY = 2 ** 16;
const MOST_CAPACITY = 2 ** 40;
/** How much one observation moves what is believed. */
const LEARNING_RATE = 0.1;
/** Points in time at which it is kept how much had been taken in. */
const MARKS = 128;
/** The least age at which a prefix that was found shows that the cache is larger than believed. */
const OLD = 0.7;

export interface Look {
  /** What the index says, bytes. */
  readonly indexed: number;
  /** What of it is believed, bytes. */
  readonly believed: number;
  /** What was taken in since the deepest indexed block was used last, bytes. */
  readonly ageBytes: number;
}

const NOTHING: Look = { indexed: 0, believed: 0, ageBytes: 0 };

export class PrefixTrust {
  #capacity = FIRST_CAPACITY;
  /** Share of what should be there that is found, 0 to 1. */
  #found = 1;
  #takenIn = 0;
  readonly #markAtMs: number[] = [];
  readonly #markTakenIn: number[] = [];

  /** The node computes `bytes` that it had not been sent before. */
  takesIn(bytes: number, nowMs: number): void {
    this.#takenIn += bytes;
    const last = this.#markTakenIn.at(-1) ?? Number.NEGATIVE_INFINITY;
    if (this.#takenIn - last < this.#capacity / (MARKS / 4)) return;
    this.#markAtMs.push(nowMs);
    this.#markTakenIn.push(this.#takenIn);
    if (this.#markAtMs.length <= MARKS) return;
    this.#markAtMs.shift();
    this.#markTakenIn.shift();
  }

  /** What was taken in since `atMs`, bytes. */
  #since(atMs: number): number {
    let [low, high] = [0, this.#markAtMs.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#markAtMs[middle] ?? 0) <= atMs) low = middle + 1;
      else high = middle;
    }
    return this.#takenIn - (this.#markTakenIn[low - 1] ?? this.#markTakenIn[0] ?? this.#takenIn);
  }

  /**
   * What the node has of a prompt of which it was sent the first `depth` blocks.
   * @param blockEnds Where each block ends, bytes. @param usedAtMs When each was used last.
   */
  look(depth: number, blockEnds: readonly number[], usedAtMs: readonly number[]): Look {
    const indexed = blockEnds[depth - 1] ?? 0;
    if (indexed === 0) return NOTHING;
    const ageBytes = this.#since(usedAtMs[depth - 1] ?? 0);
    if (ageBytes <= this.#capacity) {
      return { indexed, believed: indexed * this.#found, ageBytes };
    }
    // What is nearer to the root was used at least as lately.
    let left = depth - 1;
    while (left > 0 && this.#since(usedAtMs[left - 1] ?? 0) > this.#capacity) left -= 1;
    return { indexed, believed: (blockEnds[left - 1] ?? 0) * this.#found, ageBytes };
  }

  /** @param computed What the node seems to have computed of a prompt of `promptBytes`, bytes. */
  judge({ indexed, ageBytes }: Look, promptBytes: number, computed: number): void {
    // Where having it makes no great difference, the time tells nothing.
    if (indexed < promptBytes / 2) return;
    const without = promptBytes - indexed;
    // Half way between the two that would be expected, as ratios.
    const isFound = computed < Math.sqrt(Math.max(without, promptBytes / 20) * promptBytes);
    this.learn(isFound ? 1 : 0, ageBytes);
  }

  /** A prefix of some age was found, or which share of it. */
  learn(share: number, ageBytes: number): void {
    const isYoung = ageBytes <= this.#capacity;
    if (isYoung) this.#found += LEARNING_RATE * (share - this.#found);
    if (share > 0.5 && ageBytes > OLD * this.#capacity) {
      this.#capacity = Math.min(MOST_CAPACITY, Math.max(this.#capacity, ageBytes) * 1.1);
    } else if (share < 0.5 && isYoung && ageBytes > LEAST_CAPACITY) {
      this.#capacity += 2 * LEARNING_RATE * (ageBytes - this.#capacity);
    }
  }
}
