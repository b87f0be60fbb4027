import { expect, test } from "bun:test";
import { FAILURE_FIELDS } from "../../src/observe/live-frame.ts";
import { alike } from "../../src/page/alike.ts";
import { Table } from "../../src/page/cluster.ts";

test("failures of one sort are one row, with the latest of them and how many they are", () => {
  const table = new Table(FAILURE_FIELDS);
  const rows = [
    ["r5", 502, "n1", "no connection"],
    ["r4", 502, "n1", "no connection"],
    ["r3", 404, "", "no such model"],
    ["r2", 502, "n2", "no connection"],
    ["r1", 502, "n1", "no connection"],
  ].map(([id, status, node, detail], key) => {
    const cells = { id, status, node, detail, endedMs: 1_000 - key };
    return [
      key,
      ...FAILURE_FIELDS.map(
        (field) => Object.entries(cells).find(([name]) => name === field)?.[1] ?? null,
      ),
    ] as const;
  });
  table.apply({ rows });
  const shown = alike(table.rows()).map(({ latest, count }) => [latest.text("id"), count]);
  expect(shown).toEqual([
    ["r5", 3],
    ["r3", 1],
    ["r2", 1],
  ]);
});
