/** Recorded or made-up traffic, as the laboratory replays it. */
import type { Prefixes } from "./prefixes.ts";

export interface TraceRequest {
  /** When it came, ms from the beginning of the trace. */
  readonly atMs: number;
  /** At least 1. */
  readonly inputTokens: number;
  /** At least 1. */
  readonly outputTokens: number;
  /**
   * The prompt's blocks of `Trace.blockTokens` tokens, the last one possibly shorter: its last one in
   * `Trace.prefixes`. 0: the prompt is like no other.
   */
  readonly prefix: number;
  /** Requests of one conversation have the same number; -1: of none. */
  readonly session: number;
  /** The request that was answered before this one began, by its place in the trace; -1: none. */
  readonly after: number;
  /** From that one's answer to this request where the trace tells, else from request to request, ms. */
  readonly pauseMs: number;
}

/** What a reader makes of a file; times and order are as recorded. */
export interface Recorded {
  readonly blockTokens: number;
  readonly prefixes: Prefixes;
  readonly requests: readonly TraceRequest[];
}

export interface Trace {
  readonly name: string;
  readonly blockTokens: number;
  readonly prefixes: Prefixes;
  /** Times were recorded in steps of this, ms: a request came somewhere within the step that begins with its time. 0: exact. */
  readonly stepMs: number;
  /** In order of time. */
  readonly requests: readonly TraceRequest[];
}

/** The requests in order of time. @param zeroMs When the trace begins; left out: with its first request. */
export function inOrder(requests: readonly TraceRequest[], zeroMs?: number): TraceRequest[] {
  const timeOf = (place: number) => requests[place]?.atMs ?? 0;
  const order = Uint32Array.from(requests, (_, place) => place);
  order.sort((a, b) => timeOf(a) - timeOf(b) || a - b);
  const places = new Uint32Array(order.length);
  for (const [to, from] of order.entries()) places[from] = to;
  const startMs = zeroMs ?? timeOf(order[0] ?? 0);
  return Array.from(order, (from) => {
    const request = requests[from];
    if (request === undefined) throw new Error(`no request ${from}`);
    return { ...request, atMs: request.atMs - startMs, after: places[request.after] ?? -1 };
  });
}

/** Prompt tokens that one cache without limits, fed in the order of the trace, would not have to compute, fraction. */
export function idealHitRate({ requests, blockTokens, prefixes }: Trace): number {
  const seen = new Uint8Array(prefixes.count + 1);
  let hit = 0;
  let all = 0;
  for (const { prefix, inputTokens } of requests) {
    const path = prefixes.path(prefix);
    const known = path.filter((block) => seen[block] === 1).length;
    hit += Math.min(known * blockTokens, inputTokens);
    all += inputTokens;
    for (const block of path) seen[block] = 1;
  }
  return all === 0 ? 0 : hit / all;
}
