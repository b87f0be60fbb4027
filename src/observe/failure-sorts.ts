/** The failures that the live page knows: one row of each sort, since hundreds of one would have all others forgotten. */
import { type Cell, FAILURE_FIELDS } from "./live-frame.ts";
import type { Row } from "./table-changes.ts";

/** So many sorts are kept, those that came last. */
const MOST = 20;
/** What makes two failures the same to whoever looks for their cause. */
const SAME = (["status", "outcome", "detail", "error", "model", "node", "client"] as const).map(
  (field) => FAILURE_FIELDS.indexOf(field),
);
const ENDED = FAILURE_FIELDS.indexOf("endedMs");
const COUNT = FAILURE_FIELDS.indexOf("count");

export class FailureSorts {
  /** The one that came last is the last. */
  readonly #rows = new Map<string, Row>();

  /** A row stays the same, with the latest of its sort and how many they are. */
  add([key, cells]: Row): void {
    const sort = JSON.stringify(SAME.map((place) => cells[place]));
    const former = this.#rows.get(sort);
    this.#rows.delete(sort);
    this.#rows.set(sort, former === undefined ? [key, cells] : [former[0], both(former[1], cells)]);
    if (this.#rows.size <= MOST) return;
    for (const oldest of this.#rows.keys()) {
      this.#rows.delete(oldest);
      return;
    }
  }

  /** The latest first. */
  rows(): Row[] {
    return [...this.#rows.values()].reverse();
  }
}

/** How many failures a row stands for. */
export function countOf([, cells]: Row): number {
  return Number(cells[COUNT]);
}

export function withCount([key, cells]: Row, count: number): Row {
  return [key, cells.with(COUNT, count)];
}

function both(a: readonly Cell[], b: readonly Cell[]): readonly Cell[] {
  const latest = Number(a[ENDED]) > Number(b[ENDED]) ? a : b;
  return latest.with(COUNT, Number(a[COUNT]) + Number(b[COUNT]));
}
