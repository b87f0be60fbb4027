/**
 * How much of what a node was sent it still has. Engines evict what was used longest ago, so what counts
 * is the age of a prefix: how many bytes of prompts the node has used since, each counted once (its depth
 * in a stack of what was used last; Mattson, Gecsei, Slutz and Traiger, 1970). What is younger than its
 * cache is large is there. Nobody says how large that is, or whether there is one: it is learned, as the
 * chance that each size has, by Bayes' rule.
 */

import type { Piece } from "./prefix-walk.ts";

/** The sizes that are thought possible, bytes: none, and from 64 KiB on in steps of the root of two. */
const SIZES = 48;
const LEAST_SIZE = 2 ** 16;
const STEPS_AN_OCTAVE = 2;
/** Before anything is learned: how likely there is none. vLLM and SGLang have one by default, LMDeploy has not; ... */
const NO_CACHE = 0.3;
/** ... and if there is one, it has so many bytes, some million tokens, with this standard deviation, octaves. */
const LIKELY_SIZE = 2 ** 22;
const LIKELY_OCTAVES = 2;
/** How far times may be from what is expected of them, as the standard deviation of their logarithm. */
const TIME_SPREAD = 0.7;
/** How far the share of tokens that an engine says it found may be from that of bytes that is expected, ... */
const TOLD_SPREAD = 0.03;
/** ... and more, times that share and the one not found: some prompts have more bytes a token than others. */
const UNLIKE = 0.5;
/** An engine does so much besides that a prompt takes as long as this share of it would. */
const LEAST_COMPUTED = 1 / 20;
/** Nothing is so unlikely that it could not be seen. */
const LEAST_CHANCE = 0.03;
/** At each thing that is learned so much of what was learned before is forgotten: engines change. */
const FORGOTTEN = 0.003;
/** Points in time of which it is known what was used since; older ones lie farther apart. */
const MARKS = 256;
/** Between two of them so much is used. */
const MARK_BYTES = LEAST_SIZE / 16;

/** A piece of a prompt that the node was sent before, all of which was used at one time since. */
export interface SentPiece {
  /** Where it ends, bytes from the beginning of the prompt. */
  readonly end: number;
  readonly usedAtMs: number;
  /** What was used since, bytes, without this prompt. */
  readonly ageBytes: number;
}

/** A prompt of which the node was sent some pieces before, in its order. */
export interface SentPrompt {
  readonly pieces: readonly SentPiece[];
  readonly promptBytes: number;
}

const SIZE_BYTES = Float64Array.from({ length: SIZES }, (_, i) =>
  i === 0 ? 0 : LEAST_SIZE * 2 ** ((i - 1) / STEPS_AN_OCTAVE),
);
const FIRST_CHANCES = firstChances();

export class PrefixTrust {
  /** By size: how likely it is. They add up to 1. */
  readonly #chances = Float64Array.from(FIRST_CHANCES);
  /** By size: how likely the cache is larger, and the integral of that from 0 up to the size, bytes. */
  readonly #larger = new Float64Array(SIZES);
  readonly #found = new Float64Array(SIZES);
  /** How likely what is being learned is with each size. */
  readonly #likely = new Float64Array(SIZES);
  #markAtMs: number[] = [];
  #usedSince: number[] = [];

  constructor() {
    this.#sum();
  }

  /** A prompt is sent to the node, with `pieces` that it was sent before. */
  used(pieces: readonly SentPiece[], promptBytes: number, nowMs: number): void {
    const marks = this.#markAtMs;
    const since = this.#usedSince;
    let start = 0;
    for (const { end, usedAtMs } of pieces) {
      // What was used after a mark is counted there.
      for (let i = marks.length - 1; i >= 0 && (marks[i] ?? 0) > usedAtMs; i -= 1) {
        since[i] = (since[i] ?? 0) + end - start;
      }
      start = end;
    }
    const fresh = promptBytes - start;
    if (fresh > 0) for (let i = 0; i < marks.length; i += 1) since[i] = (since[i] ?? 0) + fresh;
    if (marks.length > 0 && (since.at(-1) ?? 0) < MARK_BYTES) return;
    marks.push(nowMs);
    since.push(0);
    if (marks.length <= MARKS) return;
    const isKept = (_: number, i: number) => i >= MARKS / 2 || i % 2 === 0;
    this.#markAtMs = marks.filter(isKept);
    this.#usedSince = since.filter(isKept);
  }

  /**
   * The pieces of a prompt that the node was sent, as they are now.
   * @param depth So many of its blocks, from the first on.
   * @param blockEnds Where its blocks end, bytes.
   */
  aged(pieces: readonly Piece[], depth: number, blockEnds: readonly number[]): SentPiece[] {
    const sent: SentPiece[] = [];
    for (const piece of pieces) {
      const { usedAtMs } = piece;
      const end = blockEnds[Math.min(depth, piece.depth) - 1] ?? 0;
      sent.push({ end, usedAtMs, ageBytes: this.ageOf(usedAtMs) });
      if (depth <= piece.depth) break;
    }
    return sent;
  }

  /** What was used since `atMs`, bytes. */
  ageOf(atMs: number): number {
    const marks = this.#markAtMs;
    let low = 0;
    let high = marks.length;
    // Asked for every node of a choice, mostly for what all prompts begin with: that was used just now.
    if ((marks[high - 1] ?? 0) <= atMs) low = high;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((marks[middle] ?? 0) <= atMs) low = middle + 1;
      else high = middle;
    }
    return this.#usedSince[Math.max(0, low - 1)] ?? 0;
  }

  /**
   * How much of a piece of that age should be there, bytes: of a prompt the end is evicted first.
   * @param start, end Where it lies in its prompt, bytes.
   */
  believed(ageBytes: number, start: number, end: number): number {
    return this.#foundUpTo(ageBytes + end) - this.#foundUpTo(ageBytes + start);
  }

  #foundUpTo(depth: number): number {
    const size = sizeUpTo(depth);
    const beyond = depth - (SIZE_BYTES[size] ?? 0);
    return (this.#found[size] ?? 0) + beyond * (this.#larger[size] ?? 0);
  }

  /**
   * Learns from how much the node seems to have computed of a prompt.
   * @param seemingBytes By the time that it took.
   * @param teaches False: the node says itself what it had, and is more exact.
   * @returns What it computed, all in all, bytes.
   */
  judge({ pieces, promptBytes }: SentPrompt, seemingBytes: number, teaches: boolean): number {
    const least = promptBytes * LEAST_COMPUTED;
    const seeming = Math.log(Math.max(least, 1, seemingBytes));
    let computed = 0;
    let all = 0;
    let found = -1;
    let likely = 0;
    for (let size = 0; size < SIZES; size += 1) {
      const had = foundOf(pieces, SIZE_BYTES[size] ?? 0);
      if (had !== found) {
        found = had;
        const off = (seeming - Math.log(Math.max(least, promptBytes - had))) / TIME_SPREAD;
        likely = LEAST_CHANCE + Math.exp((-off * off) / 2);
      }
      this.#likely[size] = likely;
      const chance = likely * (this.#chances[size] ?? 0);
      computed += chance * (promptBytes - had);
      all += chance;
    }
    if (teaches) this.#learn();
    return Math.max(1, computed / all);
  }

  /** Learns from which share of the prompts' tokens the node says that it had. */
  told(prompts: readonly SentPrompt[], share: number): void {
    let bytes = 0;
    let pieces = 0;
    for (const prompt of prompts) {
      bytes += prompt.promptBytes;
      pieces += prompt.pieces.length;
    }
    if (pieces === 0 || bytes === 0) return;
    const spread = TOLD_SPREAD + UNLIKE * share * (1 - share);
    for (let size = 0; size < SIZES; size += 1) {
      let had = 0;
      for (const prompt of prompts) had += foundOf(prompt.pieces, SIZE_BYTES[size] ?? 0);
      const off = (share - had / bytes) / spread;
      this.#likely[size] = LEAST_CHANCE + Math.exp((-off * off) / 2);
    }
    this.#learn();
  }

  #learn(): void {
    const chances = this.#chances;
    let all = 0;
    for (let size = 0; size < SIZES; size += 1) {
      const chance = (chances[size] ?? 0) * (this.#likely[size] ?? 0);
      chances[size] = chance;
      all += chance;
    }
    for (let size = 0; size < SIZES; size += 1) {
      const learned = ((1 - FORGOTTEN) * (chances[size] ?? 0)) / all;
      chances[size] = learned + FORGOTTEN * (FIRST_CHANCES[size] ?? 0);
    }
    this.#sum();
  }

  #sum(): void {
    let larger = 1;
    let found = 0;
    for (let size = 0; size < SIZES; size += 1) {
      found += larger * ((SIZE_BYTES[size] ?? 0) - (SIZE_BYTES[size - 1] ?? 0));
      larger = Math.max(0, larger - (this.#chances[size] ?? 0));
      this.#found[size] = found;
      this.#larger[size] = larger;
    }
  }
}

/** What a cache of `size` bytes has of a prompt, bytes. */
function foundOf(pieces: readonly SentPiece[], size: number): number {
  let found = 0;
  for (const { end, ageBytes } of pieces) {
    const last = Math.min(end, size - ageBytes);
    if (last > found) found = last;
    if (last < end) break;
  }
  return found;
}

/** The place of the largest size up to `bytes`. */
function sizeUpTo(bytes: number): number {
  if (bytes < LEAST_SIZE) return 0;
  const steps = Math.floor(STEPS_AN_OCTAVE * Math.log2(bytes / LEAST_SIZE));
  return Math.min(SIZES - 1, 1 + steps);
}

function firstChances(): Float64Array {
  const chances = SIZE_BYTES.map((bytes) => {
    const off = Math.log2(bytes / LIKELY_SIZE) / LIKELY_OCTAVES;
    return Math.exp((-off * off) / 2);
  });
  const all = chances.reduce((sum, chance) => sum + chance, 0);
  return chances.map((chance, size) => (size === 0 ? NO_CACHE : ((1 - NO_CACHE) * chance) / all));
}
