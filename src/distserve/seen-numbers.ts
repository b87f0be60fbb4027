/** Ranges that are kept; an engine whose numbers all pass through here needs one. */
const MAX_RANGES = 1_024;

/**
 * Which numbers have been handed out, as ranges without gaps. Engines count up, so that almost every
 * number lengthens the last range. Where too many are taken by others, ranges in the middle are
 * forgotten: the lowest tell a counter that began anew, the highest one that has caught up.
 */
export class SeenNumbers {
  /** First and last number of each range, in order, with gaps between them. */
  readonly #firsts: number[] = [];
  readonly #lasts: number[] = [];

  /** Notes a number, 0 or more and a safe integer; false when it has been noted before. */
  add(number: number): boolean {
    const at = this.#rangeFrom(number);
    const last = this.#lasts[at];
    const next = this.#firsts[at + 1];
    if (last !== undefined && number <= last) return false;
    const joinsBefore = last === number - 1;
    const joinsAfter = next === number + 1;
    if (joinsBefore && joinsAfter) {
      this.#lasts.splice(at, 1);
      this.#firsts.splice(at + 1, 1);
    } else if (joinsBefore) {
      this.#lasts[at] = number;
    } else if (joinsAfter) {
      this.#firsts[at + 1] = number;
    } else {
      this.#firsts.splice(at + 1, 0, number);
      this.#lasts.splice(at + 1, 0, number);
    }
    if (this.#firsts.length > MAX_RANGES) {
      this.#firsts.splice(MAX_RANGES / 2, 1);
      this.#lasts.splice(MAX_RANGES / 2, 1);
    }
    return true;
  }

  /** The last range that begins at `number` or below; -1 when there is none. */
  #rangeFrom(number: number): number {
    let low = -1;
    let high = this.#firsts.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if ((this.#firsts[middle] ?? 0) <= number) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
