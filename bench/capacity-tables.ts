import type { Capacity, RawResults } from "./raw.ts";
import { digits, type Table } from "./tables.ts";

/** How far one process of lmproxy goes, reckoned from costs and checked by a climb. */
export function capacityTables(raw: RawResults): (string | Table)[] {
  const { capacity } = raw;
  if (!capacity) return ["Not measured in this run."];
  return [reckonedTable(capacity), climbTable(capacity), conclusion(capacity)];
}

const whole = (value: number) =>
  Number.isFinite(value) ? Math.round(value).toLocaleString("en-US") : "–";

function reckonedTable(capacity: Capacity): Table {
  const { tokensPerS, cpuPerTokenUs, cpuPerRequestUs, cpuPerNodeSecondUs } = capacity;
  const rows = [
    [
      `streams at ${tokensPerS} tokens a second`,
      `${digits(cpuPerTokenUs)} µs a token`,
      whole(1e6 / (cpuPerTokenUs * tokensPerS)),
    ],
    [
      "short requests a second",
      `${digits(cpuPerRequestUs)} µs a request`,
      whole(1e6 / cpuPerRequestUs),
    ],
    [
      "registered nodes, nothing else to do",
      `${digits(cpuPerNodeSecondUs)} µs a node and second (over ${capacity.idleNodes})`,
      whole(1e6 / cpuPerNodeSecondUs),
    ],
    [
      "memory of a stream",
      `${digits((capacity.memoryPerStreamBytes ?? Number.NaN) / 1_024)} KiB`,
      "",
    ],
  ];
  const head = ["", "measured cost", "one core carries"];
  return { title: "Reckoned from measured costs", head, rows };
}

function climbTable(capacity: Capacity): Table {
  const percent = (share: number) => `${(share * 100).toFixed(0)} %`;
  const rows = capacity.steps.map((step) => [
    String(step.streams),
    whole(step.chunksPerS),
    percent(step.coreShare),
    percent(step.helperShare),
    digits(step.chunkP99Ms),
    digits(step.peakBytes / 1e6),
    step.gaveWay ?? "carried",
  ]);
  const head = [
    "streams",
    "tokens/s",
    "proxy's core",
    "generator and engine",
    "token p99 ms",
    "peak MB",
    "",
  ];
  return { title: `The climb, at ${capacity.tokensPerS} tokens a second`, head, rows };
}

function conclusion(capacity: Capacity): string {
  const carried = capacity.steps.filter((step) => step.gaveWay === null).at(-1);
  const end = capacity.steps.find((step) => step.gaveWay !== null);
  const most = carried ? `${carried.streams} streams were carried` : "No step was carried";
  return end
    ? `${most}; at ${end.streams} gave way: ${end.gaveWay}.`
    : `${most}, the largest step tried; nothing gave way.`;
}
