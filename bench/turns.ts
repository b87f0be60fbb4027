import { runCell } from "./cell.ts";
import type { Contestant } from "./contestants.ts";
import type { Laboratory } from "./laboratory.ts";
import type { Window, Work } from "./works.ts";

/** The best of all rounds. */
export interface Best {
  /** CPU time of the contestant's whole tree of processes for each request or chunk, µs. */
  readonly us: number;
  /** Requests or chunks a second. */
  readonly perS: number;
}

/**
 * Runs a work with all contestants in turns, so that what else the machine does falls on all; the best of
 * each, by its name. @throws Error what failed.
 */
export async function bestOf(
  contestants: readonly Contestant[],
  work: Work,
  { laboratory, window, rounds, core }: Turns,
): Promise<ReadonlyMap<string, Best>> {
  const best = new Map<string, Best>();
  for (let round = 0; round < rounds; round += 1) {
    for (const contestant of contestants) {
      const { problem, measured } = await runCell(laboratory, contestant, work, window, core);
      if (problem !== null || measured === undefined) {
        throw new Error(`${contestant.name}: ${problem ?? "nothing measured"}`);
      }
      const units = work.unit === "chunk" ? measured.chunks : measured.requests;
      const before = best.get(contestant.name);
      best.set(contestant.name, {
        us: Math.min(measured.cpuUs / units, before?.us ?? Number.POSITIVE_INFINITY),
        perS: Math.max(units / measured.seconds, before?.perS ?? 0),
      });
    }
  }
  return best;
}

export interface Turns {
  readonly laboratory: Laboratory;
  readonly window: Window;
  readonly rounds: number;
  /** The core that contestants are pinned to; null: none. */
  readonly core: number | null;
}
