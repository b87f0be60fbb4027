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

export interface MaxRate {
  contestant: string;
  round: number;
  /** Requests a second at which 99 % are answered within the limit; null: at no rate tried. */
  ratePerS: number | null;
  limitMs: number;
  problem: string | null;
}

export interface ContestantFacts {
  name: string;
  title: string;
  settings: string;
  version: string | null;
  /** Why it took no part. */
  absent: string | null;
}

/** One step of the run that looks for what gives way first. */
export interface CapacityStep {
  streams: number;
  /** Parts of their cores that the proxy, and engine with generator, used. */
  coreShare: number;
  helperShare: number;
  chunkP99Ms: number;
  chunksPerS: number;
  peakBytes: number;
  /** What gave way at this step; null: nothing. */
  gaveWay: string | null;
}

/** How far one process goes: costs, and a run with more and more streams. */
export interface Capacity {
  tokensPerS: number;
  cpuPerTokenUs: number;
  cpuPerRequestUs: number;
  /** CPU a registered node costs in a second without any request. */
  cpuPerNodeSecondUs: number;
  idleNodes: number;
  /** Null when too few steps were carried to tell. */
  memoryPerStreamBytes: number | null;
  steps: CapacityStep[];
}

/** Everything a run of the benchmark found; what `--json` writes and the report is made from. */
export interface RawResults {
  format: 1;
  command: string;
  startedAt: string;
  tookSeconds: number;
  machine: MachineFacts;
  cores: Cores;
  rounds: number;
  window: { warmMs: number; measureMs: number };
  /** How often a measurement that others disturbed was taken again. */
  retries: number;
  contestants: ContestantFacts[];
  ceilings: Ceiling[];
  cells: Cell[];
  starts: Start[];
  maxRates: MaxRate[];
  /** The highest rate of the engine itself; null when it was not measured. */
  ceilingRatePerS: number | null;
  /** Null when it was not asked for. */
  capacity: Capacity | null;
  /** What was left out and why. */
  notes: string[];
}
