/** The kinds of engines we know, one file each; whatever differs between them is asked here. */
import type { EngineFacts, PrefixCounters } from "./engine-facts.ts";
import { llamacpp } from "./kinds/llamacpp.ts";
import { lmdeploy } from "./kinds/lmdeploy.ts";
import { sglang } from "./kinds/sglang.ts";
import { vllm } from "./kinds/vllm.ts";

export const ENGINE_FACTS = { lmdeploy, vllm, sglang, llamacpp } as const satisfies Record<
  string,
  EngineFacts
>;

/** The products we know by their metrics. */
export type EngineKind = keyof typeof ENGINE_FACTS;

export const ENGINE_KINDS = [
  "lmdeploy",
  "vllm",
  "sglang",
  "llamacpp",
] as const satisfies readonly EngineKind[];

/** The longest of all, ms: what is assumed of an engine that has not said what it is. */
const GAUGES_REFRESH_MS = Math.max(
  ...ENGINE_KINDS.map((kind) => ENGINE_FACTS[kind].gaugesRefreshMs),
);

/** How long an engine's gauges may show the same although its load changed, ms. */
export function gaugesRefreshMs(kind: EngineKind | null): number {
  return kind === null ? GAUGES_REFRESH_MS : ENGINE_FACTS[kind].gaugesRefreshMs;
}

/** When the counters of such an engine count a prompt; null where they do not. */
export function countsPrompts(kind: EngineKind | null): PrefixCounters["counts"] | null {
  return kind === null ? null : (ENGINE_FACTS[kind].prefix?.counts ?? null);
}

/** Whether an engine of this kind can show how full its KV cache is. */
export function showsUsage(kind: EngineKind | null): boolean {
  return kind === null || ENGINE_FACTS[kind].usage.length > 0;
}

const CHANGES = new RegExp(
  `^/v1/(?:${ENGINE_KINDS.flatMap((kind) => ENGINE_FACTS[kind].changes).join("|")})(?![\\w-])`,
  "i",
);

/** Whether a call of `path` (decoded, without dot segments) changes some engine instead of asking it something. */
export function changesEngine(path: string): boolean {
  return CHANGES.test(path);
}
