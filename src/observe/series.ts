import type { Labels } from "./exposition.ts";
import { Histogram } from "./histogram.ts";

/**
 * The series of one family, by their labels' values. There are never more than `most`: what comes
 * then counts in one whose values are all `other`, so that nobody outside decides how many there are.
 */
export class SeriesOf<T> {
  readonly #names: readonly string[];
  readonly #make: () => T;
  readonly #most: number;
  readonly #series = new Map<string, { readonly labels: Labels; readonly value: T }>();

  constructor(names: readonly string[], make: () => T, most = 2_000) {
    this.#names = names;
    this.#make = make;
    this.#most = most;
  }

  /** The one with these values, in the order of the names; made when it is new. */
  of(...values: readonly string[]): T {
    const key = values.join("\n");
    const known = this.#series.get(key);
    if (known !== undefined) return known.value;
    const isFull = this.#series.size >= this.#most && values.some((value) => value !== "other");
    if (isFull) return this.of(...values.map(() => "other"));
    const labels = Object.fromEntries(this.#names.map((name, at) => [name, values[at] ?? ""]));
    const value = this.#make();
    this.#series.set(key, { labels, value });
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
