/** What can be in a bag; one bag at a time. */
export interface InBag {
  /** Where in its bag it is; the bag's own. Negative while in none. */
  place: number;
}

/**
 * A set of objects that know their place in it: adding and deleting hash nothing and allocate
 * nothing. For what comes and goes with every request, where a `Set` costs several times as much and
 * leaves tables behind for the collector. The order is nobody's.
 */
export class Bag<T extends InBag> {
  readonly #items: T[] = [];

  get size(): number {
    return this.#items.length;
  }

  /** @param item In no bag. */
  add(item: T): void {
    item.place = this.#items.length;
    this.#items.push(item);
  }

  /** Nothing happens when `item` is in no bag. */
  delete(item: T): void {
    const { place } = item;
    if (place < 0) return;
    item.place = -1;
    const last = this.#items.pop();
    if (last === undefined || last === item) return;
    this.#items[place] = last;
    last.place = place;
  }

  /** The item of which `worth` says most, the first of several; null where it says nothing above `least`. */
  best(worth: (item: T) => number, least: number): T | null {
    let best: T | null = null;
    let most = least;
    for (const item of this.#items) {
      const of = worth(item);
      if (!(of > most)) continue;
      best = item;
      most = of;
    }
    return best;
  }

  /** Each once. Any may be deleted meanwhile, and does not come any more then. */
  *[Symbol.iterator](): Iterator<T> {
    for (const item of [...this.#items]) if (item.place >= 0) yield item;
  }
}
