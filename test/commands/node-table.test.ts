import { expect, test } from "bun:test";
import { nodeTable, readStatus } from "../../src/commands/node-table.ts";

const LMDEPLOYS_FIELDS = {
  role: 1,
  models: ["a", "b"],
  unfinished: 2,
  latency: [1, 2],
  speed: null,
};

test("the five fields that every LMDeploy proxy has are enough", () => {
  const nodes = readStatus({ "http://a:1": LMDEPLOYS_FIELDS });
  expect(nodeTable(nodes ?? {})).toBe(
    "node        state  role    in-flight  cache  running  waiting  latency  models\n" +
      "http://a:1  -      Hybrid  2          -      -        -        1.50 s   a, b\n",
  );
});

test("what lmproxy adds is shown, the last error only where there is one", () => {
  const more = { state: "unhealthy", cache_usage: 0.256, running: 3, waiting: 0 };
  const nodes = readStatus({
    "http://a:1": { ...LMDEPLOYS_FIELDS, ...more, last_error: "connection refused" },
    "http://b:1": { ...LMDEPLOYS_FIELDS, role: "Decode", latency: [] },
  });
  expect(
    nodeTable(nodes ?? {})
      .split("\n")
      .map((line) => line.split(/ {2,}/)),
  ).toEqual([
    [
      "node",
      "state",
      "role",
      "in-flight",
      "cache",
      "running",
      "waiting",
      "latency",
      "models",
      "last error",
    ],
    [
      "http://a:1",
      "unhealthy",
      "Hybrid",
      "2",
      "25.6 %",
      "3",
      "0",
      "1.50 s",
      "a, b",
      "connection refused",
    ],
    ["http://b:1", "-", "Decode", "2", "-", "-", "-", "-", "a, b"],
    [""],
  ]);
});

test("names cannot move the cursor or forge a line", () => {
  const models = ["\u001b[2Jgone\r\nhttp://forged:1", "\u202edesrever"];
  const nodes = readStatus({ "http://a:1": { ...LMDEPLOYS_FIELDS, models } });
  const table = nodeTable(nodes ?? {});
  expect(table.trimEnd().split("\n")).toHaveLength(2);
  expect(table.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}]/u);
});

test.each([[null], ["x"], [[]], [{ "http://a:1": {} }], [{ message: "hello" }]])(
  "%j is no status",
  (answer) => {
    expect(readStatus(answer)).toBeNull();
  },
);
