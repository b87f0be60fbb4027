/** An engine's options with their defaults. */
import { seededRandom } from "../model/seeded-random.ts";
import type { EngineOptions } from "./engine-options.ts";
import { RELEASE_TRAITS } from "./release.ts";

/** LMDeploy's own figures, ms: how often it takes its gauges, and looks at its engine's health. */
const LMDEPLOY_GAUGES_MS = 10_000;
const LMDEPLOY_HEALTH_MS = 12_000;
/** SGLang's `/health` has a token generated, for which it looks once a second. */
const SGLANG_HEALTH_MS = 1_000;

export function resolveOptions(options: EngineOptions) {
  const random = options.random ?? seededRandom(options.seed ?? 1);
  const kind = options.kind ?? "lmdeploy";
  const timeScale = options.timeScale ?? 0;
  const traits = RELEASE_TRAITS[options.release ?? "0.18"];
  const ofLmdeploy = (ms: number) => (kind === "lmdeploy" ? ms * timeScale : 0);
  return {
    role: options.role ?? "Hybrid",
    kind,
    hasMetrics: options.metrics ?? true,
    metricsRefreshMs: options.metricsRefreshMs ?? ofLmdeploy(LMDEPLOY_GAUGES_MS),
    healthIntervalMs: options.healthIntervalMs ?? ofLmdeploy(LMDEPLOY_HEALTH_MS),
    healthDelayMs: options.healthDelayMs ?? (kind === "sglang" ? SGLANG_HEALTH_MS * timeScale : 0),
    apiKey: options.apiKey ?? null,
    allowTerminate: options.allowTerminate ?? false,
    answerTokens: options.answerTokens ?? { min: 16, max: 64 },
    voice: options.voice ?? "sentences",
    timeScale,
    now: options.now ?? (() => performance.now()),
    random,
    log: options.log ?? (() => {}),
    rememberedRequests: options.rememberedRequests ?? 50,
    tpSize: options.tpSize ?? 1,
    handlesAborts: options.abortHandling ?? false,
    traits: {
      ...traits,
      prefillIds: options.prefillIds ?? traits.prefillIds,
      needsProxyHeader: options.needsProxyHeader ?? traits.needsProxyHeader,
    },
  } as const;
}

export type Settings = ReturnType<typeof resolveOptions>;
