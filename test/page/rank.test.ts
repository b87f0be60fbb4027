import { expect, test } from "bun:test";
import { type Cell, NODE_FIELDS } from "../../src/observe/live-frame.ts";
import { Table } from "../../src/page/cluster.ts";
import { ranked } from "../../src/page/rank.ts";

const NOW_MS = 60_000;
type Field = (typeof NODE_FIELDS)[number];

/** Nodes that are well but for what is said of them. */
function nodes(said: Readonly<Record<string, Partial<Record<Field, Cell>>>>) {
  const table = new Table(NODE_FIELDS);
  const rows = Object.entries(said).map(([name, differs], key) => {
    const cells: Partial<Record<Field, Cell>> = {
      url: `http://${name}`,
      state: "healthy",
      models: "m",
      errors: 0,
      firstByteRatio: 1,
      ...differs,
    };
    return [key, ...NODE_FIELDS.map((field) => cells[field] ?? null)] as const;
  });
  table.apply({ rows });
  return table.rows();
}

function order(rows: ReturnType<typeof nodes>, by: Parameters<typeof ranked>[1] = null) {
  return ranked(rows, by, NOW_MS).map((row) => row.text("url").replace("http://", ""));
}

test("what is out comes first, then what is slow or fails, then what somebody drains, then the others by name", () => {
  const rows = nodes({
    "n-10": {},
    "n-2": {},
    drained: { state: "draining" },
    sleeping: { state: "sleeping" },
    slow: { firstByteRatio: 4 },
    "slower-pieces": { pieceRatio: 7 },
    failing: { errors: 3 },
    flooded: { foreign: 200 },
    mute: { silentS: NOW_MS / 1_000 - 11, firstByteMs: 900 },
    "in-prefill": { silentS: NOW_MS / 1_000 - 11, firstByteMs: 2_000 },
    "hardly-flooded": { foreign: 7 },
    "hardly-slow": { firstByteRatio: 1.4 },
    "no-models": { models: "", reason: "GET /v1/models answered 401" },
    "not-asked-yet": { models: "" },
    starting: { state: "starting" },
    out: { state: "unhealthy", errors: 64 },
  });
  expect(order(rows)).toEqual([
    ...["out", "starting", "sleeping", "slower-pieces", "flooded", "mute"],
    ...["no-models", "slow", "failing"],
    ...["drained", "hardly-flooded", "hardly-slow", "in-prefill", "n-2", "n-10", "not-asked-yet"],
  ]);
});

test("by a column, the highest comes first, what is not known last, and the oldest request before younger ones", () => {
  const rows = nodes({
    a: { inFlight: 2, usage: null, oldestS: 500 },
    b: { inFlight: 9, usage: 0.1, oldestS: null },
    c: { inFlight: 0, usage: 0.9, oldestS: 100 },
  });
  expect(order(rows, "inFlight")).toEqual(["b", "a", "c"]);
  expect(order(rows, "usage")).toEqual(["c", "b", "a"]);
  expect(order(rows, "oldest")).toEqual(["c", "a", "b"]);
  expect(order(rows, "node")).toEqual(["a", "b", "c"]);
});

test("order stays while figures only waver", () => {
  const at = (ratio: number) => order(nodes({ a: { firstByteRatio: ratio }, b: {} }));
  expect(at(1.2)).toEqual(at(0.8));
  expect(at(2.1)).toEqual(at(2.4));
});
