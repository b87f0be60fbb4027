import type { ContestantFacts, RawResults } from "./raw.ts";
import { FIGURES, figureOf, ratioOf, spreadOf } from "./summary.ts";
import { ABSENT, digits, type Table } from "./tables.ts";
import { WORKS } from "./works.ts";

/** The contestant all this is about. */
export const OURS = "lmproxy";
/** LLM routers: lmproxy is to cost less than each of them. */
export const ROUTERS = ["vllm-router", "sglang-router", "smg", "litellm"];

interface Target {
  label: string;
  atMost: number;
  stretch: number | null;
  /** The figure as measured; null when this run does not have it. */
  value(raw: RawResults): number | null;
}

const MB = 1e6;
const median = (values: (number | null)[]) =>
  spreadOf(values.map((value) => value ?? Number.NaN))?.median ?? null;
const { cpuPerRequestUs, cpuPerChunkUs } = FIGURES;
const ratio = (work: string, figure: (typeof FIGURES)[keyof typeof FIGURES]) => {
  return (raw: RawResults) => ratioOf(raw, work, OURS, figure)?.median ?? null;
};
const ofStarts = (pick: (start: RawResults["starts"][number]) => number | null) => {
  return (raw: RawResults) => median(raw.starts.filter((s) => s.contestant === OURS).map(pick));
};

const TARGETS: readonly Target[] = [
  {
    label: "A CPU per request, 64 connections",
    atMost: 2.4,
    stretch: 1.9,
    value: ratio("A", cpuPerRequestUs),
  },
  {
    label: "A with 256 connections",
    atMost: 3.2,
    stretch: 2.3,
    value: ratio("A256", cpuPerRequestUs),
  },
  { label: "B CPU per chunk", atMost: 1, stretch: 0.8, value: ratio("B", cpuPerChunkUs) },
  { label: "C CPU per chunk", atMost: 1.2, stretch: 1.05, value: ratio("C", cpuPerChunkUs) },
  { label: "D CPU per request", atMost: 1.35, stretch: 1.1, value: ratio("D", cpuPerRequestUs) },
  {
    label: "time to first byte, 16 streams, p50",
    atMost: 3.2,
    stretch: 2.5,
    value: ratio("L", FIGURES.firstByteP50Us),
  },
  {
    label: "time to first byte, 16 streams, p99",
    atMost: 3.8,
    stretch: 2.5,
    value: ratio("L", FIGURES.firstByteP99Us),
  },
  {
    label: "time of a chunk, 16 streams, p50",
    atMost: 1.5,
    stretch: 1.2,
    value: ratio("L", FIGURES.chunkP50Us),
  },
  {
    label: "time of a chunk, 16 streams, p99",
    atMost: 2.7,
    stretch: 2,
    value: ratio("L", FIGURES.chunkP99Us),
  },
  {
    label: "memory with 2,000 streams, MB",
    atMost: 150,
    stretch: 100,
    value: (raw) => {
      const peak = figureOf(raw, "E", OURS, FIGURES.peakBytes);
      return peak && peak.median / MB;
    },
  },
  {
    label: "G: A with 255 other nodes, over A alone",
    atMost: 1.1,
    stretch: 1.02,
    value: (raw) =>
      ratioOf(raw, "G", OURS, cpuPerRequestUs, { work: "A", contestant: OURS })?.median ?? null,
  },
  {
    label: "first answer after the start, ms",
    atMost: 50,
    stretch: null,
    value: ofStarts((start) => start.firstAnswerMs),
  },
  {
    label: "resident when idle, MB",
    atMost: 60,
    stretch: null,
    value: ofStarts((start) => start.idleBytes / MB),
  },
];

/** Targets of the performance issue beside what this run measured. */
export function targetTable(raw: RawResults): Table {
  const rows = TARGETS.map(({ label, atMost, stretch, value }) => {
    const measured = value(raw);
    const verdict =
      measured === null
        ? "not measured"
        : stretch !== null && measured <= stretch
          ? "met, stretch too"
          : measured <= atMost
            ? "met"
            : "not met";
    return [
      label,
      String(atMost),
      stretch === null ? "" : String(stretch),
      measured === null ? "" : digits(measured),
      verdict,
    ];
  });
  const head = ["ratio to nginx, or as named", "at most", "stretch", "measured", ""];
  return { title: "Targets", head, rows: [...rows, ...routerRows(raw)] };
}

/** On every row of CPU lmproxy is to cost less than each LLM router. */
function routerRows(raw: RawResults): string[][] {
  return ROUTERS.map((name) => {
    const facts = raw.contestants.find((each) => each.name === name);
    return [`less CPU than ${name} in every work`, "", "", ...verdictAgainst(raw, name, facts)];
  });
}

function verdictAgainst(
  raw: RawResults,
  name: string,
  facts: ContestantFacts | undefined,
): [string, string] {
  if (!facts || facts.absent !== null) return ["", ABSENT];
  const compared = WORKS.filter((work) =>
    ["A", "A256", "B", "C", "D", "E", "F"].includes(work.name),
  );
  const ratios = compared.flatMap((work) => {
    const figure = work.unit === "chunk" ? cpuPerChunkUs : cpuPerRequestUs;
    const against = ratioOf(raw, work.name, OURS, figure, { work: work.name, contestant: name });
    return against ? [{ work: work.name, median: against.median }] : [];
  });
  if (ratios.length === 0) return ["", "not measured"];
  const lost = ratios.filter(({ median: value }) => value >= 1);
  const shown = ratios.map(({ work, median: value }) => `${work} ${digits(value)}`).join(", ");
  return [shown, lost.length === 0 ? "met" : "not met"];
}
