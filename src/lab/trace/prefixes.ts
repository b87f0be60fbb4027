import { Column } from "../columns.ts";
import { TraceError } from "./trace-error.ts";

/** So that two of them fit into one number. */
const MOST = 2 ** 26;

/**
 * The prompts of a trace as a tree, so that what many of them begin with is kept once: each block has a
 * number, counted from 1, and is the same only after the same blocks.
 */
export class Prefixes {
  /** The block before each, by its number; 0: none. */
  readonly #parents = new Column();
  /** The first block of each name. */
  readonly #firsts = new Map<number | string, number>();
  /** Other blocks of that name, after other blocks. */
  readonly #others = new Map<number, number>();

  constructor() {
    this.#parents.push(0);
  }

  /** How many different prefixes there have been. */
  get count(): number {
    return this.#parents.length - 1;
  }

  /** @param ids What the trace calls the blocks. @returns The last one's number, 0 for none. @throws TraceError */
  of(ids: readonly (number | string)[]): number {
    let last = 0;
    for (const id of ids) last = this.#after(last, id);
    return last;
  }

  /** The numbers of the blocks up to `last`, from the first one on. */
  path(last: number): number[] {
    const path: number[] = [];
    for (let block = last; block > 0; block = this.#parents.at(block)) path.push(block);
    return path.reverse();
  }

  /** From now on names mean other blocks. */
  forgetNames(): void {
    this.#firsts.clear();
    this.#others.clear();
  }

  #after(parent: number, id: number | string): number {
    const first = this.#firsts.get(id);
    if (first === undefined) {
      const block = this.#add(parent);
      this.#firsts.set(id, block);
      return block;
    }
    if (this.#parents.at(first) === parent) return first;
    const key = parent * MOST + first;
    const known = this.#others.get(key);
    if (known !== undefined) return known;
    const block = this.#add(parent);
    this.#others.set(key, block);
    return block;
  }

  #add(parent: number): number {
    const block = this.#parents.length;
    if (block >= MOST) throw new TraceError(`it has more than ${MOST - 1} different blocks.`);
    this.#parents.push(parent);
    return block;
  }
}
