/** Whose which row of the table is: the control plane's, and one for each worker that has not ended. */
import type { Table } from "./table.ts";

export const CONTROL_ROW = 0;

/** Upgrades may come so fast that workers finish which have been replaced twice. */
export const GENERATIONS = 3;

/** Rows for the control plane, for all workers that may run at a time, and for one that comes up. */
export function rowsFor(count: number): number {
  return GENERATIONS * count + 2;
}

type Members = Iterable<{ readonly row: number }>;

/** @throws Error when there is none */
export function freeRow({ rows }: Pick<Table, "rows">, members: Members): number {
  const taken = new Set([...members].map(({ row }) => row));
  let row = CONTROL_ROW + 1;
  while (taken.has(row)) row += 1;
  if (row >= rows) throw new Error("workers that finish have all the rows");
  return row;
}

/** They are read up to the highest that is somebody's. */
export function countRows(table: Pick<Table, "rowsInUse">, members: Members): void {
  table.rowsInUse = Math.max(CONTROL_ROW, ...[...members].map(({ row }) => row)) + 1;
}
