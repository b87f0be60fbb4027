/**
 * How much of what a node was sent it still has: learned, since nobody says how large its prefix cache
 * is, or whether it has one.
 *
 * Engines evict what was least recently used, so what counts is the age of a prefix: what the node has
 * taken in since it was used last. For each age, in steps of a factor of two, the share that is found is
 * learned.
 */

/** Below this all ages are one, bytes. */
const LEAST_AGE = 2 ** 16;
/** The last one stands for all above half a terabyte. */
const AGES = 24;
/** What is believed until there is something to learn from: everything up to some million tokens, ... */
const FIRST_CAPACITY = 4 * 2 ** 20;
/** ... and of what is older half. */
const BEYOND = 0.5;
/** As long as nothing has shown that there is a cache at all, as where no answer streams, so much is believed. */
const UNSEEN = 0.5;
/** How much one observation moves what is believed. */
const LEARNING_RATE = 0.1;
/** How far times may be from what is expected of them, as the standard deviation of their logarithm. */
const SPREAD = 0.5;
/** An engine does so much besides that a prompt takes as long as this share of it would. */
const LEAST_COMPUTED = 1 / 20;
/** Nothing is so unlikely that the time could not show it. */
const LEAST_CHANCE = 0.03;
/** Points in time at which it is kept how much had been taken in; older ones lie farther apart. */
const MARKS = 256;

/** A piece of a prompt that the node was sent before, all of which was used at one time since. */
export interface SentPiece {
  /** Where it ends, bytes from the beginning of the prompt. */
  readonly end: number;
  /** What the node has taken in since, bytes. */
  readonly ageBytes: number;
}

/** A prompt of which the node was sent some pieces before, in its order. */
export interface SentPrompt {
  readonly pieces: readonly SentPiece[];
  readonly promptBytes: number;
}

export class PrefixTrust {
  /** By age: what was found of prefixes of that age, 0 to 1. */
  readonly #found = new Float64Array(AGES).map((_, age) =>
    LEAST_AGE * 2 ** age <= FIRST_CAPACITY ? 1 : BEYOND,
  );
  /** The same, where nothing older is there of which less is found when younger. */
  readonly #believed = Float64Array.from(this.#found);
  /** Whether anything has been learned. */
  #isSeen = false;
  #takenIn = 0;
  /** The last mark, here as well: most choices read no other, of every node, and come to it at once. */
  #lastMarkAtMs = Number.NEGATIVE_INFINITY;
  #lastMarkTakenIn = 0;
  #markAtMs: number[] = [];
  #markTakenIn: number[] = [];

  /** The node is expected to compute `bytes`. */
  takesIn(bytes: number, nowMs: number): void {
    this.#takenIn += bytes;
    const last = this.#markTakenIn.at(-1) ?? Number.NEGATIVE_INFINITY;
    if (this.#takenIn - last < LEAST_AGE / 2) return;
    this.#lastMarkAtMs = nowMs;
    this.#lastMarkTakenIn = this.#takenIn;
    this.#markAtMs.push(nowMs);
    this.#markTakenIn.push(this.#takenIn);
    if (this.#markAtMs.length <= MARKS) return;
    const isKept = (_: number, i: number) => i >= MARKS / 2 || i % 2 === 0;
    this.#markAtMs = this.#markAtMs.filter(isKept);
    this.#markTakenIn = this.#markTakenIn.filter(isKept);
  }

  /** It seems to have computed so much more, or less, than was expected. */
  tookIn(moreBytes: number): void {
    this.#takenIn = Math.max(this.#takenIn + moreBytes, this.#markTakenIn.at(-1) ?? 0);
  }

  /** What was taken in since `atMs`, bytes. */
  ageOf(atMs: number): number {
    // Asked for every node of a choice, mostly for what all prompts begin with: that was used just now.
    if (this.#lastMarkAtMs <= atMs) return this.#takenIn - this.#lastMarkTakenIn;
    const marks = this.#markAtMs;
    let low = 0;
    let high = marks.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((marks[middle] ?? 0) <= atMs) low = middle + 1;
      else high = middle;
    }
    return this.#takenIn - (this.#markTakenIn[Math.max(0, low - 1)] ?? this.#takenIn);
  }

  /** Which share of what is so old should be there, 0 to 1. @param ageBytes As `ageOf` has it. */
  believed(ageBytes: number): number {
    const believed = this.#believed[stepOf(ageBytes)] ?? 0;
    return this.#isSeen ? believed : UNSEEN * believed;
  }

  /**
   * Learns which pieces were found from how much the node seems to have computed, by Bayes' rule: there
   * are as many cases as pieces, and that of none, each with the chance that was believed.
   * @param pieces In the order of the prompt: where one is missing, so are those behind it.
   * @param seemingBytes By the time that it took.
   * @returns What it computed, all in all, bytes.
   */
  judge(pieces: readonly SentPiece[], promptBytes: number, seemingBytes: number): number {
    const ends = [0, ...pieces.map(({ end }) => end)];
    const chances = ends.map((end, i) => {
      const there = this.#chanceOf(pieces[i - 1]);
      const next = pieces[i] === undefined ? 0 : this.#chanceOf(pieces[i]);
      const expected = Math.max(promptBytes * LEAST_COMPUTED, promptBytes - end);
      const off = Math.log(Math.max(1, seemingBytes) / expected) / SPREAD;
      return Math.max(LEAST_CHANCE, there - next) * Math.exp((-off * off) / 2);
    });
    const all = chances.reduce((sum, chance) => sum + chance, 0);
    // So far from all of them that none is likelier: nothing is learned.
    if (all === 0) return promptBytes - (ends.at(-1) ?? 0);
    let computed = 0;
    let found = 1;
    ends.forEach((end, i) => {
      const chance = (chances[i] ?? 0) / all;
      computed += chance * (promptBytes - end);
      found -= chance;
      const piece = pieces[i];
      if (piece !== undefined) this.learn(Math.max(0, found), piece.ageBytes);
    });
    return Math.max(1, computed);
  }

  /** Learns from what the engine says that it had of the prompt, bytes. */
  told(pieces: readonly SentPiece[], cachedBytes: number, promptBytes: number): void {
    let start = 0;
    for (const { end, ageBytes } of pieces) {
      const found = (cachedBytes + promptBytes * LEAST_COMPUTED - start) / (end - start);
      this.learn(Math.min(1, Math.max(0, found)), ageBytes);
      start = end;
    }
  }

  /** Learns from which share of several prompts' tokens its counters say that it had. */
  counted(prompts: readonly SentPrompt[], share: number): void {
    const bytes = new Float64Array(AGES);
    const times = new Float64Array(AGES);
    let left = 0;
    for (const { pieces, promptBytes } of prompts) {
      // Engines find whole blocks alone, and compute the last token again.
      left += promptBytes * share * (1 + LEAST_COMPUTED);
      let start = 0;
      for (const { end, ageBytes } of pieces) {
        const step = stepOf(ageBytes);
        bytes[step] = (bytes[step] ?? 0) + end - start;
        times[step] = (times[step] ?? 0) + 1;
        start = end;
      }
    }
    // What is found at all is first of all what is young.
    bytes.forEach((all, step) => {
      if (all === 0) return;
      this.#learn(Math.min(1, left / all), step, 1 - (1 - LEARNING_RATE) ** (times[step] ?? 0));
      left = Math.max(0, left - all);
    });
  }

  #chanceOf(piece: SentPiece | undefined): number {
    return piece === undefined ? 1 : this.believed(piece.ageBytes);
  }

  /** Of a prefix of some age, `share` was found. */
  learn(share: number, ageBytes: number): void {
    this.#learn(share, stepOf(ageBytes), LEARNING_RATE);
  }

  #learn(share: number, step: number, rate: number): void {
    this.#isSeen = true;
    for (let age = 0; age <= step; age += 1) {
      const found = this.#found[age] ?? 0;
      // What is found when it is so old would have been found when it was younger.
      if (age === step || share > found) this.#found[age] = found + rate * (share - found);
    }
    let least = 1;
    for (let age = 0; age < AGES; age += 1) {
      least = Math.min(least, this.#found[age] ?? 0);
      this.#believed[age] = least;
    }
  }
}

function stepOf(ageBytes: number): number {
  if (ageBytes < LEAST_AGE) return 0;
  return Math.min(AGES - 1, 32 - Math.clz32(Math.min(ageBytes / LEAST_AGE, 2 ** AGES)));
}
