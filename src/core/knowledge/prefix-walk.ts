import type { Asked } from "../strategies/strategy.ts";
import { BlockUses, PrefixIndex } from "./prefix-index.ts";

/** The blocks of a prompt that a node used at one time. */
export interface Piece {
  /** Where they end, blocks from the beginning. */
  readonly depth: number;
  readonly usedAtMs: number;
}

/**
 * Blocks that the index remembers: 20 MB in the end for up to 32 nodes, 4 MB more for every further 32. They
 * are those of 10,000 prompts of 50 KB.
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
  readonly #uses = new BlockUses();
  /** Of all other nodes; null until one is asked for. */
  #pieces: readonly Piece[] | null = null;
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
    const uses = this.#uses;
    for (let at = 0; at < uses.length; at += 1) this.#ownPieces[uses.slot(at)] = undefined;
    this.#index.walk(asked.blocks, this.#depths, uses);
    this.#pieces = null;
    for (let at = 0; at < uses.length; at += 1) {
      const slot = uses.slot(at);
      this.#ownPieces[slot] ??= piecesOf(uses, slot);
    }
    this.#walked = asked;
  }

  /** How many of its blocks, from the first on, the node was sent. */
  depth(slot: number): number {
    return this.#depths[slot] ?? 0;
  }

  /** In its order; those that end behind `depth` it was not sent, or not all of them. */
  pieces(slot: number): readonly Piece[] {
    const own = this.#ownPieces[slot];
    if (own !== undefined) return own;
    this.#pieces ??= piecesOf(this.#uses, null);
    return this.#pieces;
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
function piecesOf(uses: BlockUses, slot: number | null): Piece[] {
  const pieces: Piece[] = [];
  let last = Number.NaN;
  for (let depth = uses.length; depth > 0 && pieces.length < MOST_PIECES; depth -= 1) {
    const usedAtMs = uses.usedAtMs(depth - 1, slot);
    if (usedAtMs !== last) pieces.push({ depth, usedAtMs });
    last = usedAtMs;
  }
  return pieces.reverse();
}
