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

/** Paths that a rule without a path leaves alone: they look into the engine. */
const UNTOUCHED = /^\/(debug|sim)(\/|$)/;

interface ActiveRule {
  readonly rule: FaultRule;
  toSkip: number;
  left: number;
}

/** The rules in force, and how much of them is used up. */
export class FaultSwitches {
  readonly #random: () => number;
  #active: ActiveRule[] = [];

  /** `random` draws from [0, 1). */
  constructor(random: () => number, rules: readonly FaultRule[]) {
    this.#random = random;
    this.set(rules);
  }

  /** Replaces all rules. */
  set(rules: readonly FaultRule[]): void {
    this.#active = rules.map((rule) => ({
      rule,
      toSkip: rule.skip ?? 0,
      left: rule.count ?? Number.POSITIVE_INFINITY,
    }));
  }

  /** The fault of the first rule that takes this request, or `null`. */
  pick(method: string, path: string): Fault | null {
    for (const active of this.#active) {
      const { rule } = active;
      if (active.left <= 0 || !concerns(rule, method, path)) continue;
      if (active.toSkip > 0) {
        active.toSkip -= 1;
        continue;
      }
      if (rule.probability !== undefined && this.#random() >= rule.probability) continue;
      active.left -= 1;
      return rule.fault;
    }
    return null;
  }
}

function concerns(rule: FaultRule, method: string, path: string): boolean {
  if (rule.path !== undefined) {
    return rule.path.endsWith("*") ? path.startsWith(rule.path.slice(0, -1)) : path === rule.path;
  }
  if (rule.fault.kind === "metrics") return path === "/metrics" || path === "/metrics/";
  if (rule.fault.kind === "models") return path === "/v1/models";
  return method === "POST" && !UNTOUCHED.test(path);
}
