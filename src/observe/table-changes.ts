import type { Cell, TableChange } from "./live-frame.ts";

/** A row as it is now: its key, which no other row ever has, and its cells. */
export type Row = readonly [key: number, cells: readonly Cell[]];

interface Told {
  readonly cells: Cell[];
  /** The turn at which it was told last. */
  turn: number;
}

export interface TableChangesOptions {
  /** Places of cells whose change is told at once, whatever it costs. */
  readonly urgent?: readonly number[];
  /** Whether new rows are told at once, too. */
  readonly urgentRows?: boolean;
}

/** More is not held against what comes next: after many changes of state figures go on within seconds. */
const MOST_DEBT = 1_000;

/**
 * What readers of a table have been told, and what they are to be told next. What is not urgent waits
 * while there is no room: then the rows come first that were told longest ago.
 */
export class TableChanges {
  readonly #told = new Map<number, Told>();
  readonly #urgent: ReadonlySet<number>;
  readonly #urgentRows: boolean;
  #turn = 0;
  /** What was told beyond the room of the last turn, characters. */
  #debt = 0;

  constructor({ urgent = [], urgentRows = false }: TableChangesOptions = {}) {
    this.#urgent = new Set(urgent);
    this.#urgentRows = urgentRows;
  }

  /** Everything that was told, as if it were new. */
  whole(): TableChange {
    return { rows: [...this.#told].map(([key, { cells }]) => [key, ...cells] as const) };
  }

  /**
   * What to tell next; null for nothing.
   * @param rows All rows there are, those first that are to be told first when they are new.
   * @param room For what is not urgent, characters of JSON, roughly.
   */
  next(rows: readonly Row[], room: number): TableChange | null {
    this.#turn += 1;
    const there = new Set(rows.map(([key]) => key));
    const gone = [...this.#told.keys()].filter((key) => !there.has(key));
    for (const key of gone) this.#told.delete(key);
    const added: (readonly [number, ...Cell[]])[] = [];
    const changed: { readonly key: number; readonly told: Told; readonly now: readonly Cell[] }[] =
      [];
    let left = room - this.#debt;
    for (const [key, now] of rows) {
      const told = this.#told.get(key);
      if (told !== undefined) {
        if (told.cells.some((cell, place) => cell !== now[place])) changed.push({ key, told, now });
        continue;
      }
      if (left <= 0 && !this.#urgentRows) continue;
      if (!this.#urgentRows) left -= lengthOf(now);
      this.#told.set(key, { cells: [...now], turn: this.#turn });
      added.push([key, ...now]);
    }
    changed.sort((a, b) => a.told.turn - b.told.turn);
    const cells: (readonly [number, ...Cell[]])[] = [];
    for (const { key, told, now } of changed) {
      const pairs = this.#tell(told, now, left > 0);
      if (pairs.length === 0) continue;
      left -= lengthOf(pairs);
      cells.push([key, ...pairs]);
    }
    this.#debt = Math.min(Math.max(-left, 0), MOST_DEBT);
    if (gone.length + added.length + cells.length === 0) return null;
    return {
      ...(gone.length > 0 && { gone }),
      ...(added.length > 0 && { rows: added }),
      ...(cells.length > 0 && { cells }),
    };
  }

  /** Place and value of each cell that is told now: all that changed, or the urgent ones. */
  #tell(told: Told, now: readonly Cell[], all: boolean): Cell[] {
    const pairs: Cell[] = [];
    for (let place = 0; place < now.length; place += 1) {
      const value = now[place] ?? null;
      if (value === told.cells[place] || !(all || this.#urgent.has(place))) continue;
      told.cells[place] = value;
      pairs.push(place, value);
    }
    if (all) told.turn = this.#turn;
    return pairs;
  }
}

/** Characters of JSON, roughly. */
function lengthOf(cells: readonly Cell[]): number {
  return cells.reduce<number>((sum, cell) => sum + String(cell).length + 1, 6);
}
