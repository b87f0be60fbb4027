import type { ContestantFacts, RawResults } from "./raw.ts";
import {
  CALM_ROUNDS,
  type Doing,
  FIGURES,
  type Figure,
  figureOf,
  isCalm,
  REFERENCE,
  ratioOf,
  spreadOf,
} from "./summary.ts";
import { ABSENT, cpuFigure, digits, OURS, type Table } from "./tables.ts";
import { WORKS } from "./works.ts";

/** LLM routers: lmproxy is to cost less than each of them. */
const ROUTERS = ["vllm-router", "sglang-router", "smg", "litellm"];

interface Target {
  label: string;
  atMost: number;
  stretch: number | null;
  /** Whose rounds the figure comes from: a verdict needs them undisturbed. */
  from: readonly Doing[];
  /** The figure as measured; null when this run does not have it. */
  value(raw: RawResults): number | null;
}

const MB = 1e6;
const NO_VERDICT = `no verdict: fewer than ${CALM_ROUNDS} calm rounds`;
const { cpuPerRequestUs, cpuPerChunkUs } = FIGURES;

/** A ratio to the reference's figure. */
function ratio(
  label: string,
  atMost: number,
  stretch: number,
  work: string,
  figure: Figure,
): Target {
  const from = [OURS, REFERENCE].map((contestant) => ({ work, contestant }));
  const value = (raw: RawResults) => ratioOf(raw, work, OURS, figure)?.median ?? null;
  return { label, atMost, stretch, from, value };
}

/** A figure of starting; how it came about is not watched for disturbance. */
function ofStarts(
  label: string,
  atMost: number,
  pick: (start: RawResults["starts"][number]) => number | null,
): Target {
  const value = (raw: RawResults) => {
    const ours = raw.starts.filter((start) => start.contestant === OURS);
    return spreadOf(ours.map((start) => pick(start) ?? Number.NaN))?.median ?? null;
  };
  return { label, atMost, stretch: null, from: [], value };
}

const TARGETS: readonly Target[] = [
  ratio("A CPU per request, 64 connections", 2.4, 1.9, "A", cpuPerRequestUs),
  ratio("A with 256 connections", 3.2, 2.3, "A256", cpuPerRequestUs),
  ratio("B CPU per chunk", 1, 0.8, "B", cpuPerChunkUs),
  ratio("C CPU per chunk", 1.2, 1.05, "C", cpuPerChunkUs),
  ratio("D CPU per request", 1.35, 1.1, "D", cpuPerRequestUs),
  ratio("time to first byte, 16 streams, p50", 3.2, 2.5, "L", FIGURES.firstByteP50Us),
  ratio("time to first byte, 16 streams, p99", 3.8, 2.5, "L", FIGURES.firstByteP99Us),
  ratio("time of a chunk, 16 streams, p50", 1.5, 1.2, "L", FIGURES.chunkP50Us),
  ratio("time of a chunk, 16 streams, p99", 2.7, 2, "L", FIGURES.chunkP99Us),
  {
    label: "memory with 2,000 streams, MB",
    atMost: 150,
    stretch: 100,
    from: [],
    value: (raw) => {
      const peak = figureOf(raw, "E", OURS, FIGURES.peakBytes);
      return peak && peak.median / MB;
    },
  },
  {
    label: "G: A with 255 other nodes, over A alone",
    atMost: 1.1,
    stretch: 1.02,
    from: ["A", "G"].map((work) => ({ work, contestant: OURS })),
    value: (raw) =>
      ratioOf(raw, "G", OURS, cpuPerRequestUs, { work: "A", contestant: OURS })?.median ?? null,
  },
  ofStarts("first answer after the start, ms", 50, (start) => start.firstAnswerMs),
  ofStarts("resident when idle, MB", 60, (start) => start.idleBytes / MB),
];

function verdict(raw: RawResults, target: Target, measured: number | null): string {
  if (measured === null) return "not measured";
  if (target.from.length > 0 && !isCalm(raw, target.from)) return NO_VERDICT;
  if (target.stretch !== null && measured <= target.stretch) return "met, stretch too";
  return measured <= target.atMost ? "met" : "not met";
}

/** Targets of the performance issue beside what this run measured. */
export function targetTable(raw: RawResults): Table {
  const rows = TARGETS.map((target) => {
    const measured = target.value(raw);
    return [
      target.label,
      String(target.atMost),
      target.stretch === null ? "" : String(target.stretch),
      measured === null ? "" : digits(measured),
      verdict(raw, target, measured),
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

const COMPARED = ["A", "A256", "B", "C", "D", "E", "F"];

function verdictAgainst(
  raw: RawResults,
  name: string,
  facts: ContestantFacts | undefined,
): [string, string] {
  if (!facts || facts.absent !== null) return ["", ABSENT];
  const ratios = WORKS.filter((work) => COMPARED.includes(work.name)).flatMap((work) => {
    const base = { work: work.name, contestant: name };
    const against = ratioOf(raw, work.name, OURS, cpuFigure(work), base);
    return against ? [{ work: work.name, median: against.median }] : [];
  });
  if (ratios.length === 0) return ["", "not measured"];
  const isJudged = ratios.every(({ work }) =>
    isCalm(raw, [
      { work, contestant: OURS },
      { work, contestant: name },
    ]),
  );
  const lost = ratios.filter(({ median }) => median >= 1);
  const shown = ratios.map(({ work, median }) => `${work} ${digits(median)}`).join(", ");
  if (!isJudged) return [shown, NO_VERDICT];
  return [shown, lost.length === 0 ? "met" : "not met"];
}
