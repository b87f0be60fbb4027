/** The table that processes count in: sums, limits that hold, and a row that nobody writes any more. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { SharedPlaces } from "../../src/cluster/shared-load.ts";
import { MOST_CLIENTS, Table, tableBytes } from "../../src/cluster/table.ts";
import { runs } from "../core/fuzz.ts";

const ROWS = 4;
const SIZE = { rows: ROWS, clients: MOST_CLIENTS };
const folder = mkdtempSync(join(tmpdir(), "lmproxy-table-"));
afterAll(() => rmSync(folder, { recursive: true }));

function newTable(): Table {
  const table = new Table(new Uint8Array(tableBytes(SIZE)), SIZE);
  table.rowsInUse = ROWS;
  return table;
}

function placesOf(table: Table, row: number, maxConcurrency: number, maxPerClient: number) {
  return new SharedPlaces({
    table,
    row: table.ofRow(row),
    limits: { maxConcurrency, maxPerClient },
    isLimited: true,
    wallMs: () => 0,
    hash: (client) => BigInt(client.length),
    queueOf: () => 0,
    queues: () => 1,
    bells: null,
  });
}

test("whatever rows take and give back, a column is the sum of what they hold, and never above its limit", () => {
  const step = fc.record({
    row: fc.integer({ min: 0, max: ROWS - 1 }),
    slot: fc.integer({ min: 0, max: 2 }),
    gives: fc.boolean(),
  });
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 200 }),
      fc.integer({ min: 1, max: 5 }),
      (steps, most) => {
        const table = newTable();
        const held = new Map<string, number>();
        const sum = (slot: number) =>
          [...held].reduce((all, [key, n]) => all + (key.endsWith(`:${slot}`) ? n : 0), 0);
        for (const { row, slot, gives } of steps) {
          const key = `${row}:${slot}`;
          const has = held.get(key) ?? 0;
          const one = table.ofRow(row);
          if (gives && has > 0) {
            one.endOn(slot);
            held.set(key, has - 1);
          } else if (!gives) {
            const isFree = sum(slot) < most;
            expect(one.beginOn(slot, most)).toBe(isFree);
            if (isFree) held.set(key, has + 1);
          }
          expect(table.inFlight(slot)).toBe(sum(slot));
          expect(one.inFlightElsewhere(slot)).toBe(sum(slot) - (held.get(key) ?? 0));
        }
      },
    ),
    runs(200),
  );
});

test("places are counted where something limits them, and given back as often as they were taken", () => {
  const table = newTable();
  const unlimited = placesOf(table, 1, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY);
  const limited = placesOf(table, 2, 2, Number.POSITIVE_INFINITY);
  expect([unlimited.take("a"), unlimited.take("a"), unlimited.take("a")]).toEqual([
    null,
    null,
    null,
  ]);
  expect(table.places).toBe(0);
  expect([limited.take("a"), limited.take("a"), limited.take("a")]).toEqual([
    null,
    null,
    "cluster",
  ]);
  expect(table.places).toBe(2);
  unlimited.give("a");
  limited.give("a");
  expect(table.places).toBe(1);
});

test("a limit of clients holds over rows, whichever client has which hash; who is idle gives its column up", () => {
  const step = fc.record({
    row: fc.integer({ min: 0, max: ROWS - 1 }),
    client: fc.constantFrom("a", "b".repeat(MOST_CLIENTS + 1), "cc", "c".repeat(MOST_CLIENTS + 2)),
    what: fc.constantFrom("take", "take", "give", "forget"),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const table = newTable();
      const rows = Array.from({ length: ROWS }, (_, row) => placesOf(table, row, 6, 2));
      const held: { row: number; client: string }[] = [];
      for (const { row, client, what } of steps) {
        const of = held.filter((one) => one.client === client).length;
        const mine = held.findIndex((one) => one.row === row && one.client === client);
        if (what === "forget") table.forgetClients(0);
        else if (what === "give" && mine >= 0) {
          rows[row]?.give(client);
          held.splice(mine, 1);
        } else if (what === "take") {
          const limit = of >= 2 ? "client" : held.length >= 6 ? "cluster" : null;
          expect(rows[row]?.take(client)).toBe(limit);
          if (limit === null) held.push({ row, client });
        }
      }
    }),
    runs(100),
  );
});

test("a row that is cleared holds nothing any more, and its pieces stay counted", () => {
  const table = newTable();
  const [control, dead, other] = [table.ofRow(0), table.ofRow(1), table.ofRow(2)];
  for (const row of [dead, dead, other]) expect(row.beginOn(7, 3)).toBe(true);
  expect(other.beginOn(7, 3)).toBe(false);
  dead.addPieces(7, 40);
  control.addPieces(7, 2);
  dead.longestIs(7, 9_000);
  other.longestIs(7, 4_000);
  expect([control, dead, other].map((row) => row.longestElsewhere(7))).toEqual([
    9_000, 4_000, 9_000,
  ]);
  dead.waits(3, 5);
  expect(other.isAhead(3, 9, () => false)).toBe(true);
  expect(other.isAhead(3, 5, () => false)).toBe(false);
  expect([control, dead, other].map((row) => row.piecesElsewhere(7))).toEqual([40, 2, 42]);
  table.clear(1, 0);
  expect(table.inFlight(7)).toBe(1);
  expect(table.pieces(7)).toBe(42);
  expect(control.longestElsewhere(7)).toBe(4_000);
  expect([control, other].map((row) => row.piecesElsewhere(7))).toEqual([0, 42]);
  expect(other.isAhead(3, 9, () => false)).toBe(false);
  expect(other.beginOn(7, 3)).toBe(true);
});

test("processes that want the last place at the same time never both get it, and lose none", async () => {
  const path = join(folder, "table");
  writeFileSync(path, "");
  truncateSync(path, tableBytes(SIZE));
  const table = new Table(Bun.mmap(path, { shared: true }), SIZE);
  table.rowsInUse = ROWS;
  const children = [1, 2].map((row) =>
    Bun.spawn(
      [process.execPath, join(import.meta.dir, "taker.ts"), path, JSON.stringify(SIZE), `${row}`],
      {
        stdout: "pipe",
      },
    ),
  );
  const said = await Promise.all(children.map(({ stdout }) => new Response(stdout).json()));
  for (const one of said) expect(one).toEqual({ taken: expect.any(Number), most: 1 });
  expect(table.inFlight(0)).toBe(0);
});
