/** Rows as a table for people: one line a strategy, the median over the seeds and the range. */
import type { Row } from "./measures.ts";

type Column = readonly [head: string, read: (row: Row) => number, digits: number];

const COLUMNS: readonly Column[] = [
  ["ttft p50 s", (row) => row.ttft_p50_s, 2],
  ["p90 s", (row) => row.ttft_p90_s, 2],
  ["p99 s", (row) => row.ttft_p99_s, 2],
  ["e2e p50 s", (row) => row.e2e_p50_s, 1],
  ["p90 s", (row) => row.e2e_p90_s, 1],
  ["p99 s", (row) => row.e2e_p99_s, 1],
  ["hits", (row) => row.hit_rate, 3],
  ["ideal", (row) => row.ideal_hit_rate, 3],
  ["spread", (row) => row.load_spread, 2],
  ["refused", (row) => row.refused, 0],
  ["choice µs", (row) => row.decision_us, 1],
];

/** @param isOracle Whether a strategy is shown what no proxy can know: it is marked. */
export function tableOf(rows: readonly Row[], isOracle: (strategy: string) => boolean): string {
  const groups = Map.groupBy(rows, titleOf);
  const parts = [...groups].map(([title, ofGroup]) => {
    const lines = [...Map.groupBy(ofGroup, ({ strategy }) => strategy)].map(
      ([strategy, ofStrategy]) => [
        isOracle(strategy) ? `${strategy} *` : strategy,
        ...COLUMNS.map(([, read, digits]) => cell(ofStrategy.map(read), digits)),
      ],
    );
    return `${title}\n${aligned([["strategy", ...COLUMNS.map(([head]) => head)], ...lines])}`;
  });
  const note = rows.some(({ strategy }) => isOracle(strategy))
    ? "\n* is shown what no proxy can know: tokens, or the engines' own state.\n"
    : "";
  return `${parts.join("\n")}${note}`;
}

function titleOf({ trace, cluster, nodes, model, requests, workers }: Row): string {
  const before = workers === 1 ? "" : ` behind ${workers} workers`;
  return `${trace}, ${requests} requests, ${nodes} nodes (${cluster}) of ${model}${before}`;
}

/** The median, and the range where there is one. */
function cell(values: readonly number[], digits: number): string {
  const sorted = values.toSorted((a, b) => a - b);
  const show = (value = Number.NaN) => (Number.isNaN(value) ? "-" : value.toFixed(digits));
  const [least, median, most] = [sorted[0], sorted[sorted.length >> 1], sorted.at(-1)].map(show);
  return least === most ? `${median}` : `${median} (${least}-${most})`;
}

function aligned(lines: readonly (readonly string[])[]): string {
  const [head = []] = lines;
  const widths = head.map((_, i) => Math.max(...lines.map((line) => (line[i] ?? "").length)));
  return lines
    .map((line) =>
      line
        .map((text, i) => (i === 0 ? text.padEnd(widths[i] ?? 0) : text.padStart(widths[i] ?? 0)))
        .join("  "),
    )
    .join("\n")
    .concat("\n");
}
