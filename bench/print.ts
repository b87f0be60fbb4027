import type { RawResults } from "./raw.ts";
import { DISTURBED_SHARE, disturbance } from "./summary.ts";
import {
  buildTable,
  CEILING_MARK,
  cpuRatioTable,
  cpuTable,
  failureTable,
  growthTable,
  latencyTable,
  latencyUsTable,
  rateTable,
  sizeTable,
  type Table,
} from "./tables.ts";
import { targetTable } from "./targets.ts";

/** A table as text, in columns. */
export function alignedLines({ title, head, rows }: Table): string[] {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => (row[column] ?? "").length)));
  const line = (row: string[]) =>
    row
      .map((text, column) => text.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd();
  return ["", title, ...all.map(line)];
}

/** What the benchmark prints at its end. */
export function summaryLines(raw: RawResults): string[] {
  const tables = [
    cpuRatioTable(raw),
    cpuTable(raw),
    rateTable(raw),
    latencyTable(raw),
    latencyUsTable(raw),
    raw.starts.length > 0 ? sizeTable(raw) : null,
    growthTable(raw),
    buildTable(raw),
    targetTable(raw),
    failureTable(raw),
  ];
  const { disturbed, all } = disturbance(raw);
  return [
    ...tables.flatMap((table) => (table ? alignedLines(table) : [])),
    "",
    `${CEILING_MARK.trim()} within 20 % of what load generator and engine can do: they may have set the pace.`,
    `${raw.rounds} rounds, ${raw.tookSeconds} s, load average ${raw.machine.loadAverage} at the start.`,
    `${disturbed} of ${all} measurements were disturbed: others used more than ${DISTURBED_SHARE * 100} % of the cores.`,
    ...raw.notes,
  ];
}
