/**
 * The tables of docs/routing.md from rows of the laboratory, the median over the seeds and the range:
 *
 *     lmproxy lab … --json > rows.json && bun scripts/routing-tables.ts rows.json
 *
 * One line a strategy (`*`: it is shown what no proxy can know), one column for each trace, cluster and model
 * that differs; `--figures hit_rate,e2e_p99_s` for others than the p99 of the first token. Several files are
 * taken together; `--lines runs` swaps lines and columns.
 */
import { parseArgs } from "node:util";
import type { Row } from "../src/lab/measures.ts";
import { YARDSTICKS } from "../src/lab/yardsticks/index.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    figures: { type: "string", default: "ttft_p99_s" },
    lines: { type: "string", default: "strategies" },
  },
});
const files: Row[][] = await Promise.all(positionals.map((path) => Bun.file(path).json()));
const rows = files.flat();
const figures = values.figures.split(",").map((name) => ({ name, read: reader(name) }));

function reader(name: string): (row: Row) => number {
  return (row) => {
    const value: unknown = Object.entries(row).find(([key]) => key === name)?.[1];
    if (typeof value !== "number") throw new Error(`rows have no figure ${name}`);
    return value;
  };
}

/** What of the runs differs, so that a name tells them apart. */
const varying = (["trace", "cluster", "model"] as const).filter(
  (field) => new Set(rows.map((row) => row[field])).size > 1,
);

function runOf(row: Row): string {
  return varying.map((field) => row[field]).join(", ");
}

function nameOf(strategy: string): string {
  const isOracle = strategy.split("+").some((one) => YARDSTICKS[one]?.isOracle === true);
  return isOracle ? `\`${strategy}\` *` : `\`${strategy}\``;
}

/** Three digits that count, as it is read. */
function digits(value: number): string {
  if (value >= 100) return value.toFixed(0);
  return value.toFixed(value >= 10 ? 1 : 2);
}

function cell(strategy: string, run: string, read: (row: Row) => number): string {
  const all = rows
    .filter((row) => row.strategy === strategy && runOf(row) === run)
    .map(read)
    .sort((a, b) => a - b);
  const [least = Number.NaN, median = Number.NaN, most = Number.NaN] = [
    all[0],
    all[all.length >> 1],
    all.at(-1),
  ];
  const range = `${digits(least)} to ${digits(most)}`;
  return all.length < 2 ? digits(median) : `${digits(median)} (${range})`;
}

const strategies = [...new Set(rows.map(({ strategy }) => strategy))];
const columns = [...new Set(rows.map(runOf))].flatMap((run) =>
  figures.map(({ name, read }) => ({
    title: [run, ...(figures.length > 1 ? [name] : [])].filter(Boolean).join(", "),
    cellOf: (strategy: string) => cell(strategy, run, read),
  })),
);
const lines =
  values.lines === "runs"
    ? [
        ["", ...strategies.map(nameOf)],
        ...columns.map(({ title, cellOf }) => [title, ...strategies.map(cellOf)]),
      ]
    : [
        ["", ...columns.map(({ title }) => title)],
        ...strategies.map((one) => [nameOf(one), ...columns.map(({ cellOf }) => cellOf(one))]),
      ];
const rule = (lines[0] ?? []).map(() => "---");
for (const line of [lines[0] ?? [], rule, ...lines.slice(1)]) {
  process.stdout.write(`| ${line.join(" | ")} |\n`);
}
