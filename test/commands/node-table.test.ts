import { expect, test } from "bun:test";
import { nodeTable, readStatus, SORT_NAMES, sorted } from "../../src/commands/node-table.ts";

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
    "node        in-flight  latency\nhttp://a:1  2          1.50 s\n  serves a, b\n",
  );
});

test("what lmproxy adds is shown, the last error only where there is one", () => {
  const more = { state: "unhealthy", cache_usage: 0.256, running: 3, waiting: 0 };
  const nodes = readStatus({
    "http://a:1": { ...LMDEPLOYS_FIELDS, ...more, last_error: "connection refused" },
    "http://b:1": { ...LMDEPLOYS_FIELDS, role: "Decode", latency: [], models: [] },
  });
  expect(nodeTable(nodes ?? {})).toBe(
    "node        state      role    in-flight  cache  running  waiting  latency\n" +
      "http://a:1  unhealthy  Hybrid  2          26 %   3        0        1.50 s\n" +
      "  serves a, b\n" +
      "  last error: connection refused\n" +
      "http://b:1  -          Decode  2          -      -        -        -\n" +
      "  no model known\n",
  );
});

test("a node is ranked beside its peers", () => {
  const more = { state_for_s: 7_300, first_byte_p50_s: 2.31, first_byte_ratio: 5.64, errors_5m: 3 };
  const nodes = readStatus({ "http://a:1": { ...LMDEPLOYS_FIELDS, latency: [], ...more } });
  expect(nodeTable(nodes ?? {})).toStartWith(
    "node        since  in-flight  first byte   errors\n" +
      "http://a:1  2 h    2          2.31 s 5.6×  3\n",
  );
});

test("times of some ms are told apart", () => {
  const more = {
    first_byte_p50_s: 0.0512,
    first_byte_ratio: 1,
    piece_p50_s: 0.0033,
    piece_ratio: 0.5,
  };
  const nodes = readStatus({ "http://a:1": { ...LMDEPLOYS_FIELDS, latency: [0.25], ...more } });
  expect(nodeTable(nodes ?? {})).toStartWith(
    "node        in-flight  first byte  piece        latency\n" +
      "http://a:1  2          51 ms 1.0×  3.3 ms 0.5×  250 ms\n",
  );
});

test("a node whose pieces come slowly is named, however much else there is to tell", () => {
  const more = { state: "healthy", state_for_s: 20, cache_usage: 0, running: 1, waiting: 0 };
  const figures = { first_byte_p50_s: 0.066, first_byte_ratio: 1.4, errors_5m: 6 };
  const node = { ...LMDEPLOYS_FIELDS, ...more, ...figures, oldest_request_s: 0.4 };
  const named = (piece_ratio: number) => {
    const slow = { ...node, piece_p50_s: 0.037, piece_ratio };
    const table = nodeTable(readStatus({ "http://127.0.0.1:23333": slow }) ?? {});
    for (const line of table.split("\n")) expect(line.length).toBeLessThanOrEqual(80);
    return table.includes("37 ms 9.7×");
  };
  expect(named(9.7)).toBe(true);
  expect(named(1)).toBe(false);
});

test("who computes prompts and who generates is shown before how long for and how full", () => {
  const more = { state: "unhealthy", state_for_s: 20, cache_usage: 0, running: 1, waiting: 0 };
  const figures = { first_byte_p50_s: 0.0123, first_byte_ratio: 1, errors_5m: 6 };
  const node = { ...LMDEPLOYS_FIELDS, ...more, ...figures, latency: [] };
  const nodes = readStatus({
    "http://127.0.0.1:23333": { ...node, role: 2 },
    "http://127.0.0.1:23334": { ...node, role: 3 },
  });
  const [titles, prefill, , decode] = nodeTable(nodes ?? {}).split("\n");
  expect(titles).toMatch(/^node +state +role +in-flight +first byte +errors/);
  expect(prefill).toContain("  Prefill  ");
  expect(decode).toContain("  Decode  ");
});

test("a line fits 80 columns, whatever engines name and fail with", () => {
  const more = { state: "initializing", cache_usage: 1, running: 1000, waiting: 1000 };
  const long = {
    ...LMDEPLOYS_FIELDS,
    role: 2,
    models: ["m".repeat(90)],
    last_error: "e".repeat(90),
  };
  const nodes = readStatus({ "http://node-17.gpu.example.internal:23333": { ...long, ...more } });
  const lines = nodeTable(nodes ?? {}).split("\n");
  for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
  expect(lines[0]).toMatch(/^node +state +role +in-flight/);
});

test("names cannot move the cursor or forge a line", () => {
  const models = ["\u001b[2Jgone\r\nhttp://forged:1", "\u202edesrever"];
  const nodes = readStatus({ "http://a:1": { ...LMDEPLOYS_FIELDS, models } });
  const table = nodeTable(nodes ?? {});
  expect(table.trimEnd().split("\n")).toHaveLength(3);
  expect(table.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}]/u);
});

test.each([[null], ["x"], [[]], [{ "http://a:1": {} }], [{ message: "hello" }]])(
  "%j is no status",
  (answer) => {
    expect(readStatus(answer)).toBeNull();
  },
);

test("sorted by a column, the node that stands out comes first, and those without a figure last", () => {
  const nodes =
    readStatus({
      "http://none:1": LMDEPLOYS_FIELDS,
      "http://even:1": { ...LMDEPLOYS_FIELDS, first_byte_ratio: 1, state: "healthy" },
      "http://slow:1": { ...LMDEPLOYS_FIELDS, first_byte_ratio: 5.6, state: "unhealthy" },
    }) ?? {};
  const [none, even, slow] = Object.keys(nodes);
  expect(SORT_NAMES).toContain("first-byte");
  expect(Object.keys(sorted(nodes, "first-byte"))).toEqual([slow, even, none].map(String));
  expect(Object.keys(sorted(nodes, "state"))).toEqual([even, slow, none].map(String));
});
