import type { Answer } from "./answer.ts";

/** One way in which an engine shows its KV-cache usage: as a fraction, or as a count and its limit. */
export type UsageGauge =
  | { readonly fraction: string }
  | { readonly used: string; readonly of: string };

/** By which counters an engine shows how much of its prompts it had in its prefix cache. */
export interface PrefixCounters {
  /** Tokens of prompts: each is a sum of counters, and the first that is above 0 counts. */
  readonly asked: readonly (readonly string[])[];
  /** Those of them that it found. */
  readonly found: string;
  /** That counter is there from the first one on that was found; else its absence says nothing. */
  readonly appearsLate: boolean;
  /** When both count a request: as it is admitted, or as it ends. */
  readonly counts: "admitted" | "ended";
}

/** What is known of one kind of engine. Names of gauges stand without the prefix of the kind. */
export interface EngineFacts {
  /** The first one that is given counts; empty for an engine that has none. */
  readonly usage: readonly UsageGauge[];
  /** Requests in its batches; the first one that is given counts for each name. */
  readonly running: readonly string[];
  /** Requests that wait in it; added up, since they count requests at different stages. */
  readonly waiting: readonly string[];
  /** A gauge that is 1 in the series whose `label` is `awake` while it takes requests; null for none. */
  readonly awake: {
    readonly gauge: string;
    readonly label: string;
    readonly awake: string;
  } | null;
  /** Null for an engine that has none. */
  readonly prefix: PrefixCounters | null;
  /** How long its gauges may show the same although its load changed, ms, 0 or more. */
  readonly gaugesRefreshMs: number;
  /** What an answer to `/health` says beyond its status, or null when it says nothing this kind means. */
  readonly health: (answer: Answer) => "sleeping" | "initializing" | null;
  /** Names below `/v1/` that change it (weights, adapters, sleep, …), as expressions. */
  readonly changes: readonly string[];
}

/** The field `name` of a JSON object, as text; null when there is none. */
export function fieldOf(body: string, name: string): string | null {
  try {
    const value: unknown = JSON.parse(body);
    if (typeof value !== "object" || value === null) return null;
    const field: unknown = Object.entries(value).find(([key]) => key === name)?.[1];
    return field === undefined ? null : String(field);
  } catch {
    return null;
  }
}
