import { type CellResult, problemOf, runCell } from "./cell.ts";
import type { Contestant } from "./contestants.ts";
import { type Cores, descriptorLimit } from "./host.ts";
import { Laboratory } from "./laboratory.ts";
import { machineFacts } from "./machine.ts";
import type { Ceiling, ContestantFacts, RawResults } from "./raw.ts";
import { measureStart } from "./starts.ts";
import { isDisturbed } from "./summary.ts";
import { descriptorsFor, loadOf, type Window, type Work } from "./works.ts";

export interface Plan {
  command: string;
  contestants: readonly Contestant[];
  works: readonly Work[];
  rounds: number;
  window: Window;
  /** How often a measurement that others disturbed is taken again. */
  retries: number;
  /** Also measure starts and idle memory. */
  withExtras: boolean;
  /** No new round begins later than this after the start; null: no limit. */
  deadlineMs: number | null;
}

export type Say = (line: string) => void;

/** Runs the whole plan; what it could not do stands in the notes of the result. */
export async function runBenchmark(plan: Plan, cores: Cores, say: Say): Promise<RawResults> {
  const startMs = performance.now();
  const facts = await Promise.all(plan.contestants.map(factsOf));
  for (const { title, version, absent } of facts)
    say(`${title}: ${version ?? `absent (${absent})`}`);
  const raw: RawResults = {
    format: 2,
    command: plan.command,
    startedAt: new Date().toISOString(),
    tookSeconds: 0,
    machine: machineFacts(),
    cores,
    rounds: plan.rounds,
    window: plan.window,
    contestants: facts,
    retries: plan.retries,
    ceilings: [],
    cells: [],
    starts: [],
    notes: [],
  };
  if (cores.contestant === null) {
    raw.notes.push("Nothing is pinned (taskset or a second core is missing): figures are rough.");
  }
  const present = plan.contestants.filter((_, i) => facts[i]?.absent === null);
  const works = plan.works.filter((work) => fits(work, raw.notes));
  const nodes = Math.max(1, ...works.map((work) => work.nodes));
  const others = Math.max(0, ...works.map((work) => work.others));
  const laboratory = await Laboratory.open(cores, nodes, others);
  try {
    const isLate = () => plan.deadlineMs !== null && performance.now() - startMs > plan.deadlineMs;
    for (const work of works)
      raw.ceilings.push(await ceilingOf(laboratory, work, plan.window, say));
    await runRounds(raw, laboratory, present, works, isLate, say);
    if (plan.withExtras) {
      const whole = present.filter((each) => !each.onlyWorks);
      await runExtras(raw, laboratory, whole, say);
    }
  } finally {
    await laboratory.close();
  }
  raw.tookSeconds = Math.round((performance.now() - startMs) / 1e3);
  for (const note of raw.notes) say(`note: ${note}`);
  return raw;
}

async function factsOf(contestant: Contestant): Promise<ContestantFacts> {
  const { name, title, settings, isBuild = false } = contestant;
  const version = await contestant.version();
  return version instanceof Error
    ? { name, title, settings, isBuild, version: null, absent: version.message }
    : { name, title, settings, isBuild, version, absent: null };
}

function fits(work: Work, notes: string[]): boolean {
  const needed = descriptorsFor(work);
  const limit = descriptorLimit();
  if (needed <= limit) return true;
  notes.push(
    `${work.name} was left out: it needs ${needed} open files a process, the hard limit is ${limit} (ulimit -Hn).`,
  );
  return false;
}

async function ceilingOf(
  laboratory: Laboratory,
  work: Work,
  window: Window,
  say: Say,
): Promise<Ceiling> {
  const measured = await laboratory.run(
    loadOf(work, window, {
      port: laboratory.enginePort,
      contestantPid: 0,
      enginePid: laboratory.enginePid,
      cores: laboratory.cores,
      exactBytes: true,
    }),
  );
  const problem = problemOf(measured);
  if (problem)
    throw new Error(`generator and engine fail by themselves in ${work.name}: ${problem}`);
  const requestsPerS = measured.requests / measured.seconds;
  const chunksPerS = measured.chunks / measured.seconds;
  const rate = work.unit === "chunk" ? chunksPerS : requestsPerS;
  say(`ceiling ${work.name}: ${rate.toFixed(0)} ${work.unit}s/s`);
  return { work: work.name, requestsPerS, chunksPerS, measured };
}

async function runRounds(
  raw: RawResults,
  laboratory: Laboratory,
  present: readonly Contestant[],
  works: readonly Work[],
  isLate: () => boolean,
  say: Say,
): Promise<void> {
  for (let round = 1; round <= raw.rounds; round++) {
    for (const work of works) {
      if (isLate()) {
        raw.notes.push(`Out of time in round ${round}, before ${work.name}.`);
        return;
      }
      const field = present.filter((each) => takesPart(each, work));
      for (const contestant of rotated(field, round - 1)) {
        if (isHopeless(raw, work, contestant)) continue;
        const cell = await calmest(raw.retries, () =>
          runCell(laboratory, contestant, work, raw.window, raw.cores.contestant),
        );
        raw.cells.push({ work: work.name, contestant: contestant.name, round, ...cell });
        const state = cell.problem ?? (isDisturbed(cell.measured) ? "disturbed" : "ok");
        say(`round ${round} ${work.name} ${contestant.name}: ${state}`);
      }
    }
  }
}

/** Tries again while others use the cores, and keeps what was disturbed least. */
async function calmest(retries: number, run: () => Promise<CellResult>): Promise<CellResult> {
  let best = await run();
  for (let retry = 0; retry < retries && isDisturbed(best.measured); retry++) {
    const again = await run();
    const isCalmer =
      (again.measured?.foreignShare ?? 1) < (best.measured?.foreignShare ?? 1) &&
      (again.problem === null || best.problem !== null);
    if (isCalmer) best = again;
  }
  return best;
}

/** Who has failed a work this often and never done it is not asked again. */
const HOPELESS_FAILURES = 2;

function isHopeless(raw: RawResults, work: Work, { name }: Contestant): boolean {
  const tries = raw.cells.filter((cell) => cell.work === work.name && cell.contestant === name);
  return tries.length >= HOPELESS_FAILURES && tries.every((cell) => cell.problem !== null);
}

/** Whether a contestant does a work at all. */
export function takesPart(contestant: Contestant, work: Work): boolean {
  if (work.isForCoreField && !contestant.isCoreField) return false;
  if (work.onlyWatchers && !contestant.watchesNodes) return false;
  return contestant.onlyWorks?.includes(work.name) ?? true;
}

/** Every round begins with another contestant. */
function rotated<T>(list: readonly T[], by: number): T[] {
  const at = list.length === 0 ? 0 : by % list.length;
  return [...list.slice(at), ...list.slice(0, at)];
}

async function runExtras(
  raw: RawResults,
  laboratory: Laboratory,
  present: readonly Contestant[],
  say: Say,
): Promise<void> {
  raw.notes.push(
    "Each start that is measured follows one that is not, so that its files are in memory.",
  );
  for (let round = 1; round <= raw.rounds; round++) {
    for (const contestant of rotated(present, round - 1)) {
      const start = await measureStart(laboratory, contestant);
      raw.starts.push({ ...start, round });
      say(
        `round ${round} start ${contestant.name}: ${start.firstAnswerMs?.toFixed(0) ?? "none"} ms`,
      );
    }
  }
}
