import { expect, test } from "bun:test";
import fc from "fast-check";
import { MergedMetrics } from "../../../src/core/engine/merged-metrics.ts";
import { runs } from "../fuzz.ts";

function merge(pages: Readonly<Record<string, string>>, most = 1e6): string {
  const merged = new MergedMetrics(most);
  for (const [node, page] of Object.entries(pages)) for (const _ of merged.add(node, page));
  return [...merged.families()].join("");
}

test("each family once, with a node on every series", () => {
  const page = (n: number) =>
    `# HELP a Some.\n# TYPE a gauge\na{x="1"} ${n}\na ${n}\n` +
    `# TYPE h histogram\nh_bucket{le="+Inf"} ${n}\nh_sum 1.5e3\nh_count ${n}\n# TYPE c_total counter\nc_total{} 1\nbare 7 1712\n`;
  expect(merge({ "http://a": page(1), "http://b": page(2) })).toBe(
    `# HELP a Some.
# TYPE a gauge
a{node="http://a",x="1"} 1
a{node="http://a"} 1
a{node="http://b",x="1"} 2
a{node="http://b"} 2
# TYPE h histogram
h_bucket{node="http://a",le="+Inf"} 1
h_sum{node="http://a"} 1.5e3
h_count{node="http://a"} 1
h_bucket{node="http://b",le="+Inf"} 2
h_sum{node="http://b"} 1.5e3
h_count{node="http://b"} 2
# TYPE c_total counter
c_total{node="http://a"} 1
c_total{node="http://b"} 1
# TYPE bare untyped
bare{node="http://a"} 7 1712
bare{node="http://b"} 7 1712
`,
  );
});

test.each([
  ['a{node="x",b="c"} 1', 'a{node="n",exported_node="x",b="c"} 1'],
  ['a{ b = "c" } 1', 'a{node="n",b="c"} 1'],
  ['a{b="}\\"{ node=\\"x",c="\\\\"} NaN', 'a{node="n",b="}\\"{ node=\\"x",c="\\\\"} NaN'],
  ['a{b="c"} +Inf\r', 'a{node="n",b="c"} +Inf'],
  ['a{b="c"} 3 # {trace_id="x"} 0.5 1.0', 'a{node="n",b="c"} 3'],
  ["a:b_perc 0.5", 'a:b_perc{node="n"} 0.5'],
])("%s is %s", (line, expected) => {
  expect(merge({ n: `${line}\n` })).toEndWith(`untyped\n${expected}\n`);
});

test.each([
  "",
  "a",
  "a b",
  "a{} ",
  "a{b} 1",
  'a{b="c" 1',
  'a{b="c"} 1 2 3',
  '{"a"} 1',
  "1a 1",
  "a1",
  'a{node="x",exported_node="y"} 1',
  `a{b="${"c".repeat(9_000)}"} 1`,
  "# EOF",
  "# TYPE a gauge",
  "x 1e309",
  'x{a="1"} -1e999',
  "x 1 99999999999999999999",
  'x{a="1",b="a=",a="2"} 1',
  'x{__name__="y"} 1',
  'x{ __name__="y" } 1',
])("%s is left out", (line) => {
  expect(merge({ n: `${line}\n` })).toBe("");
});

test("a page that says something else of a family than the first does not spoil it", () => {
  const pages = {
    a: "# TYPE x counter\nx 1\n",
    b: "# TYPE x gauge\nx 2\n",
    c: "# TYPE x histogram\nx 3\nx_count 3\n",
    d: "x 4\n",
  };
  expect(merge(pages)).toBe('# TYPE x counter\nx{node="a"} 1\n');
});

test("what does not fit is left out", () => {
  const page = `${'a{b="c"} 1\n'.repeat(1_000)}`;
  expect(merge({ a: page, b: page }, 500).length).toBeLessThan(700);
});

test("a megabyte of any kind is read in time in proportion (a slow one never ends)", () => {
  const fill = (line: string) => `${line}\n`.repeat(Math.ceil(2 ** 20 / line.length));
  const long = 8_000;
  for (const line of [
    ...[`a ${"1".repeat(long)}x`, `a 1.${"1".repeat(long)}x`, `a 1${" ".repeat(long)}x`],
    ...[
      `a{${'b="",'.repeat(long / 5)}x`,
      `a{b="${"\\\\".repeat(long / 2)}x`,
      `#${" ".repeat(long)}x`,
    ],
  ]) {
    expect(merge({ n: fill(line) })).toBe("");
  }
});

test("of any page whatever, each line that comes out names its node (property)", () => {
  const parts = fc.constantFrom(
    "a",
    "{",
    "}",
    '"',
    "\\",
    "=",
    ",",
    "1",
    " ",
    "\n",
    "#",
    "node",
    "TYPE",
  );
  const pages = fc.oneof(fc.string({ unit: parts, maxLength: 60 }), fc.string({ unit: "binary" }));
  fc.assert(
    fc.property(pages, (page) => {
      for (const line of merge({ n: page }).trimEnd().split("\n")) {
        if (line !== "")
          expect(line).toMatch(/^(?:# (?:TYPE|HELP) |[a-zA-Z_:][\w:]*\{node="n"[,}])/);
      }
    }),
    runs(3_000),
  );
});
