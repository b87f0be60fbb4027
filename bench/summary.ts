import { Histogram, type SparseHistogram } from "./histogram.ts";
import type { Measured } from "./load.ts";
import type { Cell, RawResults } from "./raw.ts";
import { WORKS } from "./works.ts";

/** Ratios are to this contestant's figure in the same round. */
export const REFERENCE = "nginx";
/** A contestant whose rate is so near the ceiling was held back by generator and engine. */
export const CEILING_SHARE = 0.8;

/** More of the cores than this in others' hands, and what was measured is not worth a verdict. */
export const DISTURBED_SHARE = 0.1;

/** With so many rounds undisturbed, the disturbed ones are left out; with fewer, nothing is judged. */
export const CALM_ROUNDS = 3;

export function isDisturbed(measured: Measured | undefined): boolean {
  return measured !== undefined && measured.foreignShare > DISTURBED_SHARE;
}

export interface Spread {
  median: number;
  min: number;
  max: number;
  /** Rounds that counted. */
  rounds: number;
}

export function spreadOf(values: readonly number[]): Spread | null {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const upper = sorted[Math.floor(middle)];
  const lower = sorted[Math.ceil(middle) - 1];
  const [min] = sorted;
  const max = sorted.at(-1);
  if (upper === undefined || lower === undefined || min === undefined || max === undefined) {
    return null;
  }
  return { median: (lower + upper) / 2, min, max, rounds: sorted.length };
}

export type Figure = (measured: Measured) => number;

const quantile = (pick: (m: Measured) => SparseHistogram, share: number): Figure => {
  return (measured) => new Histogram().merge(pick(measured)).quantile(share);
};

const firstByte = (m: Measured) => m.firstByte;
const chunk = (m: Measured) => m.chunk;

export const FIGURES = {
  cpuPerRequestUs: (m: Measured) => m.cpuUs / m.requests,
  cpuPerChunkUs: (m: Measured) => m.cpuUs / m.chunks,
  requestsPerS: (m: Measured) => m.requests / m.seconds,
  chunksPerS: (m: Measured) => m.chunks / m.seconds,
  firstByteP50Us: quantile(firstByte, 0.5),
  firstByteP99Us: quantile(firstByte, 0.99),
  chunkP50Us: quantile(chunk, 0.5),
  chunkP99Us: quantile(chunk, 0.99),
  peakBytes: (m: Measured) => m.peakBytes,
} as const satisfies Record<string, Figure>;

/** One contestant at one work. */
export interface Doing {
  work: string;
  contestant: string;
}

interface Rounds {
  /** For each round what was measured of each, in the order asked for. */
  measured: Measured[][];
  /** True if others left the cores alone in enough of them; only those are here then. */
  isCalm: boolean;
}

/** The rounds in which all of them count. */
function roundsOf(raw: RawResults, doings: readonly Doing[]): Rounds {
  const all: Measured[][] = [];
  for (let round = 1; round <= raw.rounds; round++) {
    const row = doings.flatMap(({ work, contestant }) => {
      const cell = raw.cells.find(
        (each) => each.round === round && each.work === work && each.contestant === contestant,
      );
      return cell?.measured && cell.problem === null ? [cell.measured] : [];
    });
    if (row.length === doings.length) all.push(row);
  }
  const calm = all.filter((row) => !row.some(isDisturbed));
  const isCalm = calm.length >= CALM_ROUNDS;
  return { measured: isCalm ? calm : all, isCalm };
}

/** True if enough rounds were measured undisturbed to give a verdict on. */
export function isCalm(raw: RawResults, doings: readonly Doing[]): boolean {
  return roundsOf(raw, doings).isCalm;
}

/** A contestant's figure over the rounds that count; null when none does. */
export function figureOf(
  raw: RawResults,
  work: string,
  contestant: string,
  figure: Figure,
): Spread | null {
  const { measured } = roundsOf(raw, [{ work, contestant }]);
  return spreadOf(measured.flat().map(figure));
}

/** The figure over the reference's in the same round (or over another work of the same contestant). */
export function ratioOf(
  raw: RawResults,
  work: string,
  contestant: string,
  figure: Figure,
  reference: Doing = { work, contestant: REFERENCE },
): Spread | null {
  const { measured } = roundsOf(raw, [{ work, contestant }, reference]);
  const ratios = measured.flatMap(([own, other]) =>
    own && other ? [figure(own) / figure(other)] : [],
  );
  return spreadOf(ratios);
}

/** A quantile over all counted rounds together: the far tail needs them all. */
export function pooledQuantileUs(
  raw: RawResults,
  work: string,
  contestant: string,
  kind: "firstByte" | "chunk",
  share: number,
): number {
  const pooled = new Histogram();
  const { measured } = roundsOf(raw, [{ work, contestant }]);
  for (const each of measured.flat()) pooled.merge(each[kind]);
  return pooled.quantile(share);
}

export function problemsOf(raw: RawResults, work: string, contestant: string): string[] {
  const isMeant = (cell: Cell) => cell.work === work && cell.contestant === contestant;
  return raw.cells.filter(isMeant).flatMap((cell) => (cell.problem ? [cell.problem] : []));
}

/** True if generator and engine, not the contestant, may have set the pace. */
export function isNearCeiling(raw: RawResults, workName: string, contestant: string): boolean {
  const work = WORKS.find((each) => each.name === workName);
  if (!work) return false;
  if (!work.isPacedByContestant) return helperShare(raw, workName, contestant) > CEILING_SHARE;
  const ceiling = raw.ceilings.find((each) => each.work === workName);
  const figure = work.unit === "chunk" ? FIGURES.chunksPerS : FIGURES.requestsPerS;
  const rate = figureOf(raw, workName, contestant, figure);
  if (!ceiling || !rate) return false;
  return rate.median > CEILING_SHARE * figure(ceiling.measured);
}

/** Part of their core that generator and engine used; of the busier one's if they have one each. */
export function helperShare(raw: RawResults, work: string, contestant: string): number {
  const isShared = raw.cores.engine === raw.cores.generator;
  const share: Figure = (m) => {
    const both = [m.engineCpuUs, m.generatorCpuUs];
    return (isShared ? both.reduce((a, b) => a + b) : Math.max(...both)) / (m.seconds * 1e6);
  };
  return figureOf(raw, work, contestant, share)?.median ?? 0;
}

/** How many measurements of all that were taken others disturbed. */
export function disturbance(raw: RawResults): { disturbed: number; all: number } {
  const disturbed = raw.cells.filter((cell) => isDisturbed(cell.measured)).length;
  return { disturbed, all: raw.cells.length };
}
