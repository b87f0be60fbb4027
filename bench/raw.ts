import type { Cores } from "./host.ts";
import type { Measured } from "./load.ts";
import type { MachineFacts } from "./machine.ts";

/** One contestant doing one work in one round. */
export interface Cell {
  work: string;
  contestant: string;
  round: number;
  /** Why it does not count; null when it does. */
  problem: string | null;
  /** Absent when the contestant did not even start. */
  measured?: Measured;
}

/** Generator straight at the engine: what no contestant can exceed. */
export interface Ceiling {
  work: string;
  requestsPerS: number;
  chunksPerS: number;
  measured: Measured;
}

export interface Start {
  contestant: string;
  round: number;
  /** From the fork to the first 200 of `GET /health`, and of a forwarded request. */
  firstAnswerMs: number | null;
  firstForwardedMs: number | null;
  /** Resident size of the tree some seconds later, without any load. */
  idleBytes: number;
}

export interface ContestantFacts {
  name: string;
  title: string;
  settings: string;
  /** True for lmproxy, also for another build of it. */
  isBuild: boolean;
  version: string | null;
  /** Why it took no part. */
  absent: string | null;
}

/** Everything a run of the benchmark found; what `--json` writes and the report is made from. */
export interface RawResults {
  format: 2;
  command: string;
  startedAt: string;
  tookSeconds: number;
  machine: MachineFacts;
  cores: Cores;
  rounds: number;
  window: { warmMs: number; longWarmMs?: number; measureMs: number };
  /** How often a measurement that others disturbed was taken again. */
  retries: number;
  contestants: ContestantFacts[];
  ceilings: Ceiling[];
  cells: Cell[];
  starts: Start[];
  /** What was left out and why. */
  notes: string[];
}
