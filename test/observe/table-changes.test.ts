import { expect, test } from "bun:test";
import fc from "fast-check";
import type { Cell, TableChange } from "../../src/observe/live-frame.ts";
import { TableChanges } from "../../src/observe/table-changes.ts";
import { Table } from "../../src/page/cluster.ts";

const FIELDS = ["urgent", "a", "b"] as const;
const LONG_CELL = 60;
const ONE_ROW = 3 * (LONG_CELL + 8) + 20;

const cell: fc.Arbitrary<Cell> = fc.oneof(
  fc.integer({ min: 0, max: 9 }),
  fc.string({ maxLength: LONG_CELL }),
  fc.constant(null),
);
/** Tables as they are one after the other; keys are few, so that rows come, stay and go. */
const tables = fc.array(
  fc.uniqueArray(fc.tuple(fc.integer({ min: 1, max: 8 }), fc.tuple(cell, cell, cell)), {
    selector: ([key]) => key,
    maxLength: 8,
  }),
  { minLength: 1, maxLength: 12 },
);

function shown(table: Table<(typeof FIELDS)[number]>) {
  return new Map(table.rows().map((row) => [row.key, FIELDS.map((field) => row.text(field))]));
}

function wanted(rows: readonly (readonly [number, readonly Cell[]])[]) {
  return new Map(rows.map(([key, cells]) => [key, cells.map((one) => String(one ?? ""))]));
}

test("who reads all changes has the table, urgent cells at once and the others when there was room", () => {
  fc.assert(
    fc.property(tables, fc.integer({ min: 0, max: 300 }), (states, room) => {
      const changes = new TableChanges({ urgent: [0], urgentRows: true });
      const table = new Table(FIELDS);
      const tell = (change: TableChange | null) => change !== null && table.apply(change);
      for (const rows of states) {
        tell(changes.next(rows, room));
        const [has, wants] = [shown(table), wanted(rows)];
        expect([...has.keys()].sort()).toEqual([...wants.keys()].sort());
        for (const [key, [urgent]] of wants) expect(has.get(key)?.[0]).toBe(urgent);
        // Somebody who comes now has what the others have.
        const late = new Table(FIELDS);
        late.apply(changes.whole());
        expect(shown(late)).toEqual(has);
      }
      const last = states.at(-1) ?? [];
      // A row is told each time, the one that has waited longest, once what was told before has been made up for.
      for (let turn = 0; turn < 16; turn += 1) tell(changes.next(last, ONE_ROW));
      expect(shown(table)).toEqual(wanted(last));
      expect(changes.next(last, ONE_ROW)).toBeNull();
    }),
    { numRuns: 200 },
  );
});

test("what is not urgent keeps within the room, but for the last row that began in it", () => {
  fc.assert(
    fc.property(tables, fc.integer({ min: 0, max: 300 }), (states, room) => {
      const changes = new TableChanges();
      for (const rows of states) {
        const { rows: added = [], cells = [] } = changes.next(rows, room) ?? {};
        const told = JSON.stringify([added, cells]).replaceAll(/\\u[0-9a-f]{4}|\\./g, "x");
        expect(told.length).toBeLessThanOrEqual(1.5 * room + ONE_ROW + 8);
      }
    }),
    { numRuns: 200 },
  );
});
