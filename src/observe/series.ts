import type { Labels } from "./exposition.ts";
import { Histogram } from "./histogram.ts";

/** Those whose labels begin alike. */
class Branch<T> {
  readonly next = new Map<string, Branch<T>>();
  /** Whose labels end here. */
  value: T | null = null;
}

/**
 * The series of one family, by their labels' values. There are never more than `most`: what comes
 * then counts in one whose values are all `other`, so that nobody outside decides how many there are.
 */
export class SeriesOf<T> {
  readonly #names: readonly string[];
  readonly #make: () => T;
  readonly #most: number;
  readonly #series: { readonly labels: Labels; readonly value: T }[] = [];
  /** By one label after the other: a key made of all would be a new string for every request. */
  readonly #root = new Branch<T>();

  constructor(names: readonly string[], make: () => T, most = 2_000) {
    this.#names = names;
    this.#make = make;
    this.#most = most;
  }

  /** The one with these values, in the order of the names; made when it is new. */
  of(...values: readonly string[]): T {
    let at: Branch<T> | undefined = this.#root;
    // By number, and handed on one by one: nothing is made of them then, for each request.
    for (let i = 0; i < values.length; i += 1) at = at?.next.get(values[i] ?? "");
    return at?.value ?? this.#add(...values);
  }

  #add(...values: readonly string[]): T {
    const isFull = this.#series.length >= this.#most && values.some((value) => value !== "other");
    if (isFull) return this.of(...values.map(() => "other"));
    const labels = Object.fromEntries(this.#names.map((name, at) => [name, values[at] ?? ""]));
    const value = this.#make();
    this.#series.push({ labels, value });
    let at = this.#root;
    for (const name of values) {
      const next = at.next.get(name) ?? new Branch<T>();
      at.next.set(name, next);
      at = next;
    }
    at.value = value;
    return value;
  }

  [Symbol.iterator](): Iterator<{ readonly labels: Labels; readonly value: T }> {
    return this.#series.values();
  }
}

/** A count that only grows. */
export class Counter {
  value = 0;

  add(by = 1): void {
    this.value += by;
  }
}

export function counters(...names: readonly string[]): SeriesOf<Counter> {
  return new SeriesOf(names, () => new Counter());
}

export function histograms(
  bounds: readonly number[],
  ...names: readonly string[]
): SeriesOf<Histogram> {
  return new SeriesOf(names, () => new Histogram(bounds), 500);
}
