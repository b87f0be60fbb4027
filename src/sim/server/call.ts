import type { Fault } from "./faults.ts";

/** The request a route answers. */
export interface Call {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Headers;
  readonly bytes: Uint8Array;
  /** Aborted when the client leaves. */
  readonly signal: AbortSignal;
  /** What is to go wrong with it. */
  readonly fault: Fault | null;
}
