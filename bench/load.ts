import type { SparseHistogram } from "./histogram.ts";
import type { Ask } from "./wire.ts";

/** One kind of request in a mix. */
export interface Portion {
  /** Part of all requests, 0 to 1; the portions of a load add up to 1. */
  share: number;
  ask: Ask;
  /** Part of these requests, 0 to 1, whose client closes its connection before the end. */
  leaving?: number;
}

/** What the load generator is told to do. */
export interface Load {
  port: number;
  connections: number;
  portions: readonly Portion[];
  /**
   * Requests a second, sent whether answers come or not; null: every connection sends its next
   * request when the answer to the last is complete.
   */
  ratePerS: number | null;
  warmMs: number;
  measureMs: number;
  /** False for contestants that serialise answers anew: lengths may differ then. */
  exactBytes: boolean;
  /** Process at the root of the contestant's tree, and of the engine's; 0 for none. */
  contestantPid: number;
  enginePid: number;
  /** Cores on which only the three of them should be at work; none: all cores. */
  cores: readonly number[];
  /** A request without a byte for this long has failed. */
  stallMs: number;
  /** Connections opened per millisecond while the load grows. */
  rampPerMs: number;
}

/** What was seen inside the measured window; failures and departures count from the first request. */
export interface Measured {
  seconds: number;
  requests: number;
  chunks: number;
  failed: number;
  /** What failed, with counts. */
  reasons: Record<string, number>;
  /** Clients that closed their connection before the end, as told to. */
  left: number;
  /** Open loop: requests still waiting for a free connection at the end. */
  unsent: number;
  /** Connections opened in all. */
  connects: number;
  /** CPU time of the contestant's tree, the engine and the generator inside the window. */
  cpuUs: number;
  engineCpuUs: number;
  generatorCpuUs: number;
  /** Part of the time of their cores (0 to 1) that others used inside the window. */
  foreignShare: number;
  /** Peak resident size of the contestant's tree since its start, at the end of the window. */
  peakBytes: number;
  /** How late the generator itself sent (open loop), p99. */
  latenessP99Us: number;
  /** From when the request was due to the first byte of the answer's body, in µs. */
  firstByte: SparseHistogram;
  /** From when the request was due to the end of the answer, in µs. */
  whole: SparseHistogram;
  /** From the engine's sending a chunk to its arrival, in µs. */
  chunk: SparseHistogram;
}

/** Time a closed loop takes to open its connections. */
export function rampMs(connections: number, rampPerMs: number): number {
  return Math.ceil(connections / rampPerMs);
}
