/**
 * Fault switches of the simulated engine: rules that make single requests go wrong.
 *
 * What a well-behaved HTTP server cannot send at all (garbage instead of HTTP, a body shorter than
 * its Content-Length, endless headers) is `sim/raw-server.ts`.
 */

/** What happens to a request that a rule has picked. */
export type Fault =
  /** Nothing more comes until the client leaves; `afterBytes` 0 is right after the headers. */
  | { readonly kind: "hang"; readonly at: "before-headers" }
  | { readonly kind: "hang"; readonly at: "body"; readonly afterBytes: number }
  /** The connection is reset before a byte of the answer. */
  | { readonly kind: "reset" }
  /** The connection is reset after that many bytes of the body, 0 or more. */
  | { readonly kind: "die"; readonly afterBytes: number }
  /** Waits before the headers and before every chunk of the body, ms. */
  | { readonly kind: "slow"; readonly firstByteMs?: number; readonly perChunkMs?: number }
  /** This answer instead of the engine's: a wrong status, a redirect, nonsense. */
  | {
      readonly kind: "answer";
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: string;
    }
  /** The body becomes that many bytes of text, whatever it was. */
  | { readonly kind: "flood"; readonly bytes: number }
  /** Every streamed event carries that many bytes more in its content. */
  | { readonly kind: "pad"; readonly bytesPerEvent: number }
  /** `/metrics` says something that cannot be. */
  | {
      readonly kind: "metrics";
      readonly lie: "nan" | "infinite" | "negative" | "above-one" | "garbage" | "million-series";
    }
  /** `/v1/models` lists that many invented names. */
  | { readonly kind: "models"; readonly count: number };

export interface FaultRule {
  readonly fault: Fault;
  /**
   * The path it concerns, exactly, or a prefix when it ends in `*`. Left out: the path a fault of
   * this kind is about (`/metrics`, `/v1/models`), else every POST outside `/debug` and `/sim`.
   */
  readonly path?: string;
  /** Chance that it takes a request which matches, 0 to 1. Default 1. */
  readonly probability?: number;
  /** How many requests it takes before it is spent. Default: all. */
  readonly count?: number;
  /** How many matching requests it lets pass first. Default 0. */
  readonly skip?: number;
}
