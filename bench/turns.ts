import { problemOf, type Running, startContestant } from "./cell.ts";
import type { Contestant } from "./contestants.ts";
import type { Laboratory } from "./laboratory.ts";
import { loadOf, type Window, type Work } from "./works.ts";

/** What one of the field took: of its processes the one in the middle, over all its turns. */
export interface Took {
  /** CPU time of the contestant's whole tree of processes for each request or chunk, µs. */
  readonly us: number;
  /** Requests or chunks a second. */
  readonly perS: number;
}

export interface Turns {
  readonly laboratory: Laboratory;
  /** Turns of each process. */
  readonly rounds: number;
  /** Load that each process gets before the first turn, ms: until its code is compiled. */
  readonly warmMs: number;
  /** The core that contestants are pinned to; null: none. */
  readonly core: number | null;
}

/** A turn, ms: shorter than what a neighbour on the machine begins or ends, and some thousand requests long. */
const TURN: Window = { warmMs: 100, measureMs: 400 };
/**
 * Of each contestant so many, started anew: two processes of one executable differ by up to 8 % for as long as they run,
 * by what was compiled when and where it lies.
 */
const PROCESSES = 3;
/** What else the machine does only adds: the calmest fifth of the turns says what a contestant takes. */
const CALM = 0.2;

/**
 * Runs a work with all contestants: they are up at the same time and get the load in turns, in an order that
 * is drawn anew for each round. What else the machine does falls on all alike, which a noisy one needs:
 * contestants that ran for seconds one after the other differed by a tenth from one run to the next.
 * @throws Error what failed.
 */
export async function inTurns(
  contestants: readonly Contestant[],
  work: Work,
  { laboratory, rounds, warmMs, core }: Turns,
): Promise<ReadonlyMap<string, Took>> {
  const field: {
    readonly contestant: Contestant;
    readonly running: Running;
    readonly turns: Took[];
  }[] = [];
  const turn = async ({ contestant, running }: (typeof field)[number], window: Window) => {
    const measured = await laboratory.run(
      loadOf(work, window, {
        port: running.port,
        contestantPid: running.pid,
        enginePid: laboratory.enginePid,
        cores: laboratory.cores,
        exactBytes: contestant.exactBytes,
      }),
    );
    const problem = problemOf(measured);
    if (problem !== null) throw new Error(`${contestant.name}: ${problem}`);
    const units = work.unit === "chunk" ? measured.chunks : measured.requests;
    return { us: measured.cpuUs / units, perS: units / measured.seconds };
  };
  try {
    const nodes = laboratory.nodeUrls(work.nodes, work.others);
    for (let nth = 0; nth < PROCESSES; nth += 1) {
      for (const contestant of contestants) {
        const running = await startContestant(contestant, nodes, core);
        field.push({ contestant, running, turns: [] });
      }
    }
    for (const one of field) await turn(one, { ...TURN, warmMs });
    for (let round = 0; round < rounds; round += 1) {
      for (const one of shuffled(field)) one.turns.push(await turn(one, TURN));
    }
  } finally {
    for (const { running } of field) await running.stop();
  }
  return new Map(
    contestants.map((contestant) => {
      const processes = field.filter((one) => one.contestant === contestant);
      const us = processes.map(({ turns }) =>
        at(
          turns.map((turn) => turn.us),
          CALM,
        ),
      );
      const perS = processes.map(({ turns }) =>
        at(
          turns.map((turn) => turn.perS),
          1 - CALM,
        ),
      );
      return [contestant.name, { us: at(us, 0.5), perS: at(perS, 0.5) }];
    }),
  );
}

function shuffled<T>(list: readonly T[]): T[] {
  return list
    .map((item) => ({ item, by: Math.random() }))
    .sort((a, b) => a.by - b.by)
    .map(({ item }) => item);
}

/** The value that `share` of them are below. */
function at(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(share * (sorted.length - 1))] ?? Number.NaN;
}

/** What each took, and how that is to the first one's. */
export function turnLines(took: ReadonlyMap<string, Took>, work: Work): string[] {
  const first = took.values().next().value?.us ?? Number.NaN;
  return [
    `${work.name}: ${work.title}`,
    ...[...took].map(
      ([name, { us }]) =>
        `  ${name.padEnd(22)}  ${us.toFixed(1)} µs a ${work.unit}, ${(us / first).toFixed(2)}`,
    ),
  ];
}
