import type { ContestantFacts, RawResults } from "./raw.ts";
import {
  FIGURES,
  type Figure,
  figureOf,
  isNearCeiling,
  pooledQuantileUs,
  problemsOf,
  REFERENCE,
  ratioOf,
  type Spread,
  spreadOf,
} from "./summary.ts";
import { GROWTH_WORKS, MAIN_WORKS, WORKS, type Work } from "./works.ts";

/** Rows of text under a heading: printed to a terminal or written as Markdown. */
export interface Table {
  title: string;
  head: string[];
  rows: string[][];
}

/** The contestant all this is about. */
export const OURS = "lmproxy";
export const ABSENT = "absent";
const NOTHING = "–";
/** Behind a figure that generator and engine may have limited. */
export const CEILING_MARK = " ▲";

export function digits(value: number): string {
  if (!Number.isFinite(value)) return NOTHING;
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
}

/** Median and range; `scale` divides. */
export function spreadText(spread: Spread | null, scale = 1): string {
  if (!spread) return NOTHING;
  const { median, min, max, rounds } = spread;
  const shown = digits(median / scale);
  return rounds === 1 ? shown : `${shown} (${digits(min / scale)}–${digits(max / scale)})`;
}

export const cpuFigure = (work: Work): Figure =>
  work.unit === "chunk" ? FIGURES.cpuPerChunkUs : FIGURES.cpuPerRequestUs;

function ran(raw: RawResults, works: readonly Work[]): Work[] {
  return works.filter((work) => raw.cells.some((cell) => cell.work === work.name));
}

type CellText = (contestant: ContestantFacts, work: Work) => string;

function byContestant(
  raw: RawResults,
  title: string,
  works: readonly Work[],
  text: CellText,
): Table {
  const rows = raw.contestants.map((each) => [
    each.title,
    ...works.map((work) => (each.absent === null ? text(each, work) : ABSENT)),
  ]);
  return { title, head: ["", ...works.map((work) => work.name)], rows };
}

/** "failed 5 of 5" beats an empty place: the reader asks why. */
function orFailed(raw: RawResults, work: Work, contestant: string, text: string): string {
  const failed = problemsOf(raw, work.name, contestant).length;
  if (failed === 0) return text;
  const all = raw.cells.filter((c) => c.work === work.name && c.contestant === contestant).length;
  return failed === all ? `failed ${failed} of ${all}` : `${text}, ${failed} of ${all} failed`;
}

export function cpuRatioTable(raw: RawResults): Table {
  const works = ran(raw, MAIN_WORKS).filter((work) => !work.onlyWatchers && work.name !== "L");
  return byContestant(
    raw,
    `CPU time per unit of work, as a ratio to ${REFERENCE}'s in the same round: median (range)`,
    works,
    ({ name }, work) => {
      const ratio = ratioOf(raw, work.name, name, cpuFigure(work));
      const mark = ratio && isNearCeiling(raw, work.name, name) ? CEILING_MARK : "";
      return orFailed(raw, work, name, spreadText(ratio) + mark);
    },
  );
}

export function cpuTable(raw: RawResults): Table {
  const works = ran(raw, MAIN_WORKS).filter((work) => work.name !== "L");
  return byContestant(
    raw,
    "CPU time of the whole process tree, µs per request (A, D, F, G) or chunk (B, C, E): median (range)",
    works,
    ({ name }, work) => spreadText(figureOf(raw, work.name, name, cpuFigure(work))),
  );
}

export function rateTable(raw: RawResults): Table {
  const works = ran(raw, WORKS).filter((work) => work.isPacedByContestant && !work.onlyWatchers);
  const table = byContestant(
    raw,
    "Throughput, requests (B: chunks) a second",
    works,
    ({ name }, work) => {
      const figure = work.unit === "chunk" ? FIGURES.chunksPerS : FIGURES.requestsPerS;
      const mark = isNearCeiling(raw, work.name, name) ? CEILING_MARK : "";
      return spreadText(figureOf(raw, work.name, name, figure)) + mark;
    },
  );
  const ceilings = works.map((work) => {
    const ceiling = raw.ceilings.find((each) => each.work === work.name);
    return digits((work.unit === "chunk" ? ceiling?.chunksPerS : ceiling?.requestsPerS) ?? NaN);
  });
  return { ...table, rows: [["ceiling (engine itself)", ...ceilings], ...table.rows] };
}

const LATENCY = [
  ["first byte", "firstByte", FIGURES.firstByteP50Us, FIGURES.firstByteP99Us],
  ["chunk", "chunk", FIGURES.chunkP50Us, FIGURES.chunkP99Us],
] as const;

/** Ratios of whole times: median (range) of the rounds, p99.9 over all rounds together. */
export function latencyTable(raw: RawResults): Table | null {
  if (ran(raw, WORKS).every((work) => work.name !== "L")) return null;
  const head = LATENCY.flatMap(([label]) => [`${label} p50`, "p99", "p99.9"]);
  const rows = raw.contestants.map(({ name, title, absent }) => {
    const cells = LATENCY.flatMap(([, kind, p50, p99]) => {
      const tail =
        pooledQuantileUs(raw, "L", name, kind, 0.999) /
        pooledQuantileUs(raw, "L", REFERENCE, kind, 0.999);
      return [
        spreadText(ratioOf(raw, "L", name, p50)),
        spreadText(ratioOf(raw, "L", name, p99)),
        digits(tail),
      ];
    });
    return [title, ...(absent === null ? cells : cells.map(() => ABSENT))];
  });
  return {
    title: `Time to first byte and time of a chunk from engine to client (work L), as ratios to ${REFERENCE}'s`,
    head: ["", ...head],
    rows,
  };
}

/** The same in µs, with the floor: the generator straight at the engine. */
export function latencyUsTable(raw: RawResults): Table | null {
  const ceiling = raw.ceilings.find((each) => each.work === "L");
  if (!ceiling) return null;
  const head = LATENCY.flatMap(([label]) => [`${label} p50 µs`, "p99"]);
  const floor = LATENCY.flatMap(([, , p50, p99]) => [p50, p99]).map((figure) =>
    digits(figure(ceiling.measured)),
  );
  const rows = raw.contestants.map(({ name, title, absent }) => [
    title,
    ...LATENCY.flatMap(([, , p50, p99]) => [p50, p99]).map((figure) =>
      absent === null ? spreadText(figureOf(raw, "L", name, figure)) : ABSENT,
    ),
  ]);
  return {
    title: "The same in µs",
    head: ["", ...head],
    rows: [["floor (engine itself)", ...floor], ...rows],
  };
}

/** Memory and start. */
export function sizeTable(raw: RawResults): Table {
  const MB = 1e6;
  const rows = raw.contestants.map(({ name, title, absent }) => {
    const starts = raw.starts.filter((each) => each.contestant === name);
    const numbers = (values: (number | null)[]) => spreadOf(values.map((each) => each ?? NaN));
    const cells = [
      spreadText(figureOf(raw, "E", name, FIGURES.peakBytes), MB),
      spreadText(numbers(starts.map((each) => each.idleBytes)), MB),
      spreadText(numbers(starts.map((each) => each.firstAnswerMs))),
      spreadText(numbers(starts.map((each) => each.firstForwardedMs))),
    ];
    return [title, ...(absent === null ? cells : cells.map(() => ABSENT))];
  });
  const head = [
    "",
    "peak MB with 2,000 streams (E)",
    "idle MB",
    "first answer ms",
    "first forwarded ms",
  ];
  return { title: "Memory and start", head, rows };
}

export function growthTable(raw: RawResults): Table | null {
  const grown = ran(raw, [...MAIN_WORKS.filter((work) => work.name === "A"), ...GROWTH_WORKS]);
  if (grown.length < 2) return null;
  return byContestant(
    raw,
    "How cost grows: CPU µs per request (A, P) or chunk (S)",
    grown,
    ({ name }, work) =>
      orFailed(raw, work, name, spreadText(figureOf(raw, work.name, name, cpuFigure(work)))),
  );
}

const COMPARED = [
  ...["A", "B", "C", "D"].map((work) => ({ work, label: `${work} CPU`, figure: null })),
  { work: "L", label: "first byte p50", figure: FIGURES.firstByteP50Us },
  { work: "L", label: "first byte p99", figure: FIGURES.firstByteP99Us },
  { work: "L", label: "chunk p50", figure: FIGURES.chunkP50Us },
];

/** lmproxy beside other builds of itself, which `--executable` brought into the run. */
export function buildTable(raw: RawResults): Table | null {
  const builds = raw.contestants.filter(({ name, isBuild }) => isBuild && name !== OURS);
  if (builds.length === 0) return null;
  const rows = builds.map(({ name, title }) => [
    title,
    ...COMPARED.map(({ work, figure }) => {
      const meant = WORKS.find((each) => each.name === work);
      if (!meant) return NOTHING;
      const base = { work, contestant: name };
      return spreadText(ratioOf(raw, work, OURS, figure ?? cpuFigure(meant), base));
    }),
  ]);
  return {
    title: `${OURS} as a ratio to another build in the same round: median (range)`,
    head: ["beside", ...COMPARED.map(({ label }) => label)],
    rows,
  };
}

/** Rounds that did not count, each reason once with its count. */
export function failureTable(raw: RawResults): Table | null {
  const seen = new Map<string, { row: string[]; times: number }>();
  for (const cell of raw.cells) {
    if (cell.problem === null) continue;
    const key = `${cell.work}/${cell.contestant}`;
    const entry = seen.get(key) ?? { row: [cell.work, cell.contestant, cell.problem], times: 0 };
    entry.times++;
    seen.set(key, entry);
  }
  if (seen.size === 0) return null;
  const rows = [...seen.values()].map(({ row, times }) => [...row, String(times)]);
  return { title: "Rounds that do not count", head: ["work", "contestant", "why", "times"], rows };
}
