import { expect, test } from "bun:test";
import { FailureSorts } from "../../src/observe/failure-sorts.ts";
import { type Cell, FAILURE_FIELDS } from "../../src/observe/live-frame.ts";

type Failure = Partial<Record<(typeof FAILURE_FIELDS)[number], Cell>>;

function shownOf(failures: readonly Failure[]): unknown[] {
  const sorts = new FailureSorts();
  for (const [at, failure] of failures.entries()) {
    const all: Failure = { count: 1, endedMs: at, status: 502, ...failure };
    sorts.add([at, FAILURE_FIELDS.map((field) => all[field] ?? null)]);
  }
  const [id, count] = [FAILURE_FIELDS.indexOf("id"), FAILURE_FIELDS.indexOf("count")];
  return sorts.rows().map(([key, cells]) => [key, cells[id], cells[count]]);
}

test("failures of one sort are one row, with the latest of them and how many they are", () => {
  const shown = shownOf([
    { id: "r1", node: "n1", detail: "no connection" },
    { id: "r2", node: "n2", detail: "no connection" },
    { id: "r3", status: 404, detail: "no such model" },
    { id: "r4", node: "n1", detail: "no connection" },
    // Those of another process are heard of later, and are several at once.
    { id: "r0", node: "n1", detail: "no connection", endedMs: 0, count: 5 },
  ]);
  expect(shown).toEqual([
    [0, "r4", 7],
    [2, "r3", 1],
    [1, "r2", 1],
  ]);
});

test("of more than twenty sorts the one is forgotten that came the longest time ago", () => {
  const failures = Array.from({ length: 20 }, (_, i) => ({ id: `r${i}`, client: `c${i}` }));
  const again = { id: "again", client: "c0" };
  const shown = shownOf([...failures, again, { id: "new", client: "new" }]);
  expect(shown).toHaveLength(20);
  expect(shown.slice(0, 2)).toEqual([
    [21, "new", 1],
    [0, "again", 2],
  ]);
  expect(shown.at(-1)).toEqual([2, "r2", 1]);
});
