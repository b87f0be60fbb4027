import type { FailureRow } from "./cluster.ts";

/** What makes two failures the same to whoever looks for their cause. */
const SAME = ["status", "outcome", "detail", "error", "model", "node", "client"] as const;

export interface Alike {
  readonly latest: FailureRow;
  /** How many there are, this one too. */
  readonly count: number;
}

/** One of each sort, in the order they come, the latest first: twenty of one sort would hide the other. */
export function alike(failures: readonly FailureRow[]): Alike[] {
  const found = new Map<string, Alike>();
  for (const failure of failures) {
    const sort = JSON.stringify(SAME.map((field) => failure.text(field)));
    const { latest = failure, count = 0 } = found.get(sort) ?? {};
    found.set(sort, { latest, count: count + 1 });
  }
  return [...found.values()];
}
