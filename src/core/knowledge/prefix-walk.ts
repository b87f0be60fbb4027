import type { Asked } from "../strategies/strategy.ts";
import { type BlockUse, PrefixIndex } from "./prefix-index.ts";

/** The blocks of a prompt that a node used at one time. */
export interface Piece {
  /** Where they end, blocks from the beginning. */
  readonly depth: number;
  readonly usedAtMs: number;
}

/**
 * Blocks that the index remembers: 20 MB for up to 32 nodes, 4 MB more for every further 32. They are those
 * of 10,000 prompts of 50 KB.
 */
const ENTRIES = 2 ** 20;
/** More pieces than this are taken for one. */
const MOST_PIECES = 6;

/** What each node was sent before of the prompt that was asked for last, and when it used that. */
export class PrefixWalk {
  readonly #index = new PrefixIndex(ENTRIES);
  #walked: Asked | null = null;
  /** By slot and by block. */
  #depths = new Uint16Array(64);
  readonly #uses: BlockUse[] = [];
  #pieces: readonly Piece[] = [];
  /** By slot, of nodes that were the last to be sent some of its blocks. */
  readonly #ownPieces: (readonly Piece[] | undefined)[] = [];

  /** Makes room for a node with this slot. */
  reserve(slot: number): void {
    this.#index.reserve(slot);
    if (slot < this.#depths.length) return;
    this.#depths = new Uint16Array(2 * slot);
    this.#walked = null;
  }

  to(asked: Asked): void {
    if (this.#walked === asked) return;
    for (const { slot } of this.#uses) this.#ownPieces[slot] = undefined;
    this.#index.walk(asked.blocks, this.#depths, this.#uses);
    this.#pieces = piecesOf(this.#uses, null);
    for (const { slot } of this.#uses) this.#ownPieces[slot] ??= piecesOf(this.#uses, slot);
    this.#walked = asked;
  }

  /** How many of its blocks, from the first on, the node was sent. */
  depth(slot: number): number {
    return this.#depths[slot] ?? 0;
  }

  /** In its order; those that end behind `depth` it was not sent, or not all of them. */
  pieces(slot: number): readonly Piece[] {
    return this.#ownPieces[slot] ?? this.#pieces;
  }

  /** The node is sent a prompt of these blocks. */
  sent(slot: number, blocks: readonly number[], nowMs: number): void {
    this.#index.add(slot, blocks, nowMs);
    this.#walked = null;
  }

  /** The node has nothing any more of what it was sent. */
  forget(slot: number): void {
    this.#index.forget(slot);
    this.#walked = null;
  }
}

/** @param slot Of the node that used it; null: any but those that used it last. */
function piecesOf(uses: readonly BlockUse[], slot: number | null): Piece[] {
  const pieces: Piece[] = [];
  for (let depth = uses.length; depth > 0; depth -= 1) {
    const use = uses[depth - 1];
    if (use === undefined || pieces.length === MOST_PIECES) continue;
    const usedAtMs = use.slot === slot ? use.atMs : use.beforeMs;
    if (usedAtMs !== pieces.at(-1)?.usedAtMs) pieces.push({ depth, usedAtMs });
  }
  return pieces.reverse();
}
