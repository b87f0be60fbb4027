/**
 * Fault switches of the simulated engine: rules that make single requests go wrong.
 *
 * What a well-behaved HTTP server cannot send at all (garbage instead of HTTP, a body shorter than
 * its Content-Length, endless headers) is for tests alone: `test/support/raw-server.ts`.
 */
import { type Static, Type } from "@sinclair/typebox";

/** What happens to a request that a rule has picked. */
const Fault = Type.Union([
  /** Nothing at all comes until the client leaves. */
  Type.Object({ kind: Type.Literal("hang"), at: Type.Literal("before-headers") }),
  /** Nothing more comes after that many bytes of the body, until the client leaves. */
  Type.Object({
    kind: Type.Literal("hang"),
    at: Type.Literal("body"),
    /** With 0 the head of a stream is all that comes. */
    afterBytes: Type.Integer({ minimum: 0 }),
  }),
  /** The connection is reset before a byte of the answer. */
  Type.Object({ kind: Type.Literal("reset") }),
  /** The connection ends after that many bytes of the body, as when the process dies. */
  Type.Object({ kind: Type.Literal("die"), afterBytes: Type.Integer({ minimum: 0 }) }),
  /** The connection is closed behind the whole answer, which does not announce it. */
  Type.Object({ kind: Type.Literal("close") }),
  /** Waits before the headers and before every chunk of the body, ms of real time. */
  Type.Object({
    kind: Type.Literal("slow"),
    firstByteMs: Type.Optional(Type.Number({ minimum: 0 })),
    perChunkMs: Type.Optional(Type.Number({ minimum: 0 })),
  }),
  /**
   * The engine fails when it has generated so many tokens (default 0): with this status (default
   * 500), or, as the head of a stream has gone out long before, in an event of a 200.
   */
  Type.Object({
    kind: Type.Literal("engine-error"),
    afterTokens: Type.Optional(Type.Integer({ minimum: 0 })),
    status: Type.Optional(Type.Integer({ minimum: 400, maximum: 599 })),
  }),
  /** An exception in the server itself: 500 in plain text, then an end that nobody announced. */
  Type.Object({ kind: Type.Literal("exception") }),
  /** This answer instead of the engine's: a wrong status, a redirect, nonsense. */
  Type.Object({
    kind: Type.Literal("answer"),
    status: Type.Integer({ minimum: 200, maximum: 599 }),
    headers: Type.Optional(Type.Record(Type.String(), Type.String())),
    body: Type.Optional(Type.String()),
  }),
  /** The body becomes that many bytes of text, whatever it was. */
  Type.Object({ kind: Type.Literal("flood"), bytes: Type.Integer({ minimum: 0 }) }),
  /** Every answer ends after so many tokens, as if that were all there is to say. */
  Type.Object({ kind: Type.Literal("short"), tokens: Type.Integer({ minimum: 1 }) }),
  /** Every piece of an answer's text is that many bytes longer. */
  Type.Object({ kind: Type.Literal("pad"), bytesPerPiece: Type.Integer({ minimum: 0 }) }),
  /** `/metrics` says something that cannot be. */
  Type.Object({
    kind: Type.Literal("metrics"),
    lie: Type.Union([
      Type.Literal("nan"),
      Type.Literal("infinite"),
      Type.Literal("negative"),
      Type.Literal("above-one"),
      Type.Literal("garbage"),
      Type.Literal("million-series"),
    ]),
  }),
  /** `/v1/models` lists that many invented names. */
  Type.Object({ kind: Type.Literal("models"), count: Type.Integer({ minimum: 0 }) }),
]);

const FaultRule = Type.Object({
  fault: Fault,
  /**
   * The path it concerns, exactly, or a prefix when it ends in `*`. Left out: the path a fault of
   * this kind is about (`/metrics`, `/v1/models`), else every POST outside `/debug` and `/sim`.
   */
  path: Type.Optional(Type.String()),
  /** Chance that it takes a request which matches, 0 to 1. Default 1. */
  probability: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
  /** How many requests it takes before it is spent. Default: all. */
  count: Type.Optional(Type.Integer({ minimum: 0 })),
  /** How many matching requests it lets pass first. Default 0. */
  skip: Type.Optional(Type.Integer({ minimum: 0 })),
});

/** The body of POST `/debug/faults`. */
export const FaultRules = Type.Array(FaultRule);

export const FAULT_RULE_MEMBERS: readonly string[] = Object.keys(FaultRule.properties);

/** What a fault of this kind may have; nothing when there is none of it. */
export function membersOfFault(kind: unknown): readonly string[] {
  return Fault.anyOf
    .filter(({ properties }) => properties.kind.const === kind)
    .flatMap(({ properties }) => Object.keys(properties));
}

export type Fault = Static<typeof Fault>;
export type FaultRule = Static<typeof FaultRule>;

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
