import { type Line, tokens } from "./fields.ts";
import { type Recorded, TraceError } from "./trace.ts";

/**
 * Azure's traces (Microsoft; Splitwise, ISCA '24, and DynamoLLM), CSV: `TIMESTAMP`, `ContextTokens`,
 * `GeneratedTokens`. They say nothing of prefixes.
 */
export function azure(text: string): Recorded {
  const lines = text.split("\n");
  const top = lines.findIndex((line) => line.trim() !== "");
  const [head = "", ...rows] = lines.slice(top);
  const names = cellsOf(head).map((name) => name.toLowerCase());
  const at = names.indexOf("timestamp");
  const input = names.indexOf("contexttokens");
  const output = names.indexOf("generatedtokens");
  if (at < 0 || input < 0 || output < 0) {
    throw new TraceError(
      "The trace is of no known format: it is no JSON, and its first line does not name TIMESTAMP, " +
        "ContextTokens and GeneratedTokens.",
    );
  }
  const requests = rows.flatMap((row, i) => {
    if (row.trim() === "") return [];
    const cells = cellsOf(row);
    const line: Line = {
      number: top + i + 2,
      value: {
        ContextTokens: numberOf(cells[input] ?? ""),
        GeneratedTokens: numberOf(cells[output] ?? ""),
      },
    };
    const atMs = timeOf(cells[at] ?? "");
    if (!(atMs >= 0)) {
      throw new TraceError(
        `Line ${line.number} of the trace: \`TIMESTAMP\` must be a time or seconds.`,
      );
    }
    return [
      {
        atMs,
        inputTokens: tokens(line, "ContextTokens"),
        outputTokens: tokens(line, "GeneratedTokens"),
        blocks: [],
        session: -1,
        after: -1,
        pauseMs: 0,
      },
    ];
  });
  return { blockTokens: 512, requests };
}

function cellsOf(row: string): string[] {
  return row
    .trim()
    .split(",")
    .map((cell) => cell.trim());
}

/** An empty cell is none. */
function numberOf(text: string): number {
  return text === "" ? Number.NaN : Number(text);
}

/** `2023-11-16 18:15:46.6805900`, with or without an offset, or seconds, as ms. */
function timeOf(text: string): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1_000;
  const match = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:?\d\d)?$/.exec(text);
  if (match === null) return Number.NaN;
  const [, day, time, fraction = "0", offset] = match;
  return Date.parse(`${day}T${time}${offset ?? "Z"}`) + Number(fraction) * 1_000;
}
