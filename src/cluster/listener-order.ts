/** A listener among those of its port: how many there are, and its place, from 0. */
export interface Place {
  readonly of: number;
  readonly at: number;
}

/** Who listens at a shared port, in the order in which the kernel has them: the last takes the place of one that leaves. */
export class ListenerOrder<T> {
  readonly #listeners: T[] = [];

  get size(): number {
    return this.#listeners.length;
  }

  joined(listener: T): void {
    this.#listeners.push(listener);
  }

  left(listener: T): void {
    const at = this.#listeners.indexOf(listener);
    const last = at < 0 ? undefined : this.#listeners.pop();
    if (last !== undefined && last !== listener) this.#listeners[at] = last;
  }

  /** Where those are of which `is` says so. */
  placesWhere(is: (listener: T) => boolean): number[] {
    return this.#listeners.flatMap((listener, at) => (is(listener) ? [at] : []));
  }

  /** Null for one that does not listen. @param more Listeners that come last, besides those known here. */
  placeOf(listener: T, more = 0): Place | null {
    const at = this.#listeners.indexOf(listener);
    return at < 0 ? null : { of: this.size + more, at };
  }
}
