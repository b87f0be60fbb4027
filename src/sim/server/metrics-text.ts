/** The Prometheus text of an engine: the figures by which a proxy judges load, in the words of four. */
import type { EngineKind } from "../../core/engine/kinds.ts";
import type { ModelStats } from "../model/model-types.ts";
import type { Settings } from "./settings.ts";

export interface MetricsSource {
  readonly settings: Settings;
  readonly model: string;
  /** Requests that an engine takes at a time; others wait outside. */
  readonly places: number;
  /** Requests that went away while they waited outside and are counted for ever. */
  readonly lostWaiting: number;
  readonly isSleeping: boolean;
  readonly hasPrefixCache: boolean;
  /** Requests that ended well, and otherwise. */
  readonly succeeded: number;
  readonly failed: number;
  /** One entry a rank. */
  readonly stats: readonly ModelStats[];
}

interface Metric {
  readonly name: string;
  readonly type: "gauge" | "counter";
  readonly help: string;
  readonly pick: (stats: ModelStats, source: MetricsSource) => number;
  /** Further labels, as `reason="capacity"`. */
  readonly labels?: string;
}

function gauge(name: string, help: string, pick: Metric["pick"], labels?: string): Metric {
  return { name, type: "gauge", help, pick, ...(labels !== undefined && { labels }) };
}

function counter(name: string, help: string, pick: Metric["pick"], labels?: string): Metric {
  return { ...gauge(name, help, pick, labels), type: "counter" };
}

/** What waits for one of the places, and not for the scheduler. */
function outside({ running, waiting }: ModelStats, { places }: MetricsSource): number {
  return Math.min(waiting, Math.max(0, running + waiting - places));
}

const SLEEP_STATES = ["awake", "weights_offloaded", "discard_all"] as const;

const METRICS: Readonly<Record<EngineKind, readonly Metric[]>> = {
  lmdeploy: [
    gauge("num_requests_succeeded", "Number of current succeeded requests.", (_, s) => s.succeeded),
    gauge("num_requests_failed", "Number of current failed requests.", (_, s) => s.failed),
    gauge(
      "num_api_requests_routed",
      "Number of requests routed to request handles.",
      (s, source) => s.running + s.waiting - outside(s, source),
    ),
    gauge(
      "num_api_requests_waiting",
      "Number of requests waiting for free request handles.",
      (s, source) => outside(s, source) + source.lostWaiting,
    ),
    gauge(
      "num_requests_running",
      "Number of requests in model execution batches.",
      (s) => s.running,
    ),
    gauge(
      "num_requests_waiting",
      "Number of requests waiting to be processed.",
      (s, source) => s.waiting - outside(s, source),
    ),
    gauge("gpu_cache_usage_perc", "GPU KV-cache usage. 1 means 100 percent usage.", (s, source) =>
      source.settings.traits.countsCachedBlocks ? s.usage : s.usageWithoutCached,
    ),
    counter(
      "prompt_tokens_total",
      "Number of prefill tokens processed.",
      (s) => s.askedPromptTokens,
    ),
    counter(
      "request_prompt_tokens_sum",
      "Of a histogram: prompt tokens of requests that have ended.",
      (s) => s.finishedPromptTokens,
    ),
    counter(
      "generation_tokens_total",
      "Number of generation tokens processed.",
      (s) => s.generatedTokens,
    ),
    counter(
      "cached_tokens_total",
      "Total prefix-cached input tokens served.",
      (s) => s.finishedCachedTokens,
    ),
    counter(
      "request_success_total",
      "Count of successfully processed requests.",
      (_, s) => s.succeeded,
      'finished_reason="ResponseType.FINISH"',
    ),
  ].map((metric) => ({ ...metric, name: `lmdeploy:${metric.name}` })),
  vllm: [
    gauge("num_requests_running", "Requests in the batch.", (s) => s.running),
    gauge("num_requests_waiting", "Requests that wait.", (s) => s.waiting),
    gauge("num_requests_waiting_by_reason", "By reason.", (s) => s.waiting, 'reason="capacity"'),
    gauge("num_requests_waiting_by_reason", "By reason.", () => 0, 'reason="deferred"'),
    ...SLEEP_STATES.map((state) =>
      gauge(
        "engine_sleep_state",
        "Engine sleep state.",
        (_, { isSleeping }) =>
          Number(isSleeping ? state === "weights_offloaded" : state === "awake"),
        `sleep_state="${state}"`,
      ),
    ),
    gauge("kv_cache_usage_perc", "KV-cache usage; 1 is full.", (s) => s.usageWithoutCached),
    counter("prefix_cache_queries_total", "Prompt tokens looked up.", (s, { hasPrefixCache }) =>
      hasPrefixCache ? s.askedPromptTokens : 0,
    ),
    counter("prefix_cache_hits_total", "Prompt tokens found.", (s) => s.cachedPromptTokens),
    counter("num_preemptions_total", "Preemptions.", (s) => s.preemptions),
    counter("prompt_tokens_total", "Prompt tokens processed.", (s) => s.askedPromptTokens),
    counter("generation_tokens_total", "Tokens generated.", (s) => s.generatedTokens),
  ].map((metric) => ({ ...metric, name: `vllm:${metric.name}` })),
  sglang: [
    gauge("num_running_reqs", "Requests in the batch.", (s) => s.running),
    gauge("num_queue_reqs", "Requests that wait.", (s) => s.waiting),
    gauge("token_usage", "KV-cache usage; 1 is full.", (s) => s.usageWithoutCached),
    counter("prompt_tokens_total", "Prompt tokens processed.", (s) => s.finishedPromptTokens),
    counter("cached_tokens_total", "Cached prompt tokens.", (s) => s.finishedCachedTokens),
    counter("generation_tokens_total", "Tokens generated.", (s) => s.generatedTokens),
  ].map((metric) => ({ ...metric, name: `sglang:${metric.name}` })),
  llamacpp: [
    counter("prompt_tokens_total", "Prompt tokens processed.", (s) => s.computedPromptTokens),
    counter("prompt_tokens_cached_total", "Reused from the cache.", (s) => s.cachedPromptTokens),
    counter("tokens_predicted_total", "Tokens generated.", (s) => s.generatedTokens),
    gauge("requests_processing", "Requests in the batch.", (s) => s.running),
    gauge("requests_deferred", "Requests that wait.", (s) => s.waiting),
  ].map((metric) => ({ ...metric, name: `llamacpp:${metric.name}` })),
};

/** Ours alone, under a prefix of its own: a leak of DistServe is a number. */
const SIMULATED: readonly Metric[] = [
  gauge("sim:preserved_sessions", "Prefills whose blocks are kept.", (s) => s.preservedRequests),
  gauge("sim:preserved_blocks", "Blocks of those prefills.", (s) => s.preservedBlocks),
];

/** What every Python engine's exposition begins with. */
const PREAMBLE = `# HELP python_info Python platform information
# TYPE python_info gauge
python_info{implementation="CPython",major="3",minor="12",patchlevel="3",version="3.12.3"} 1.0
# HELP process_start_time_seconds Start time of the process since unix epoch in seconds.
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1.79539e+09
`;

function escapeLabel(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

function labelSets({ settings, model }: MetricsSource, rank: number): readonly string[] {
  if (settings.kind === "llamacpp") return [""];
  const name = `model_name="${escapeLabel(model)}"`;
  if (settings.kind !== "sglang") return [`engine="${rank}",${name}`];
  // SGLang shows a total under the empty priority beside the single priorities.
  const ranks = `engine_type="unified",${name},dp_rank="${rank}",pp_rank="0",tp_rank="0"`;
  return [`${ranks},priority=""`, `${ranks},priority="0"`];
}

/** As Python writes a float. */
function float(value: number): string {
  return Number.isInteger(value) ? `${value}.0` : String(value);
}

/** The text for these figures. `usage` stands in for every KV-cache usage if it is given. */
export function metricsText(source: MetricsSource, usage?: string): string {
  const lines: string[] = [];
  let last = "";
  for (const metric of [...METRICS[source.settings.kind], ...SIMULATED]) {
    const { name, type, help, pick, labels } = metric;
    if (name !== last) lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    last = name;
    source.stats.forEach((stats, rank) => {
      const isLie = usage !== undefined && name.includes("usage");
      const value = isLie ? usage : float(pick(stats, source));
      const sets = labelSets(source, rank);
      for (const set of type === "counter" ? sets.slice(0, 1) : sets) {
        const all = [set, labels].filter(Boolean).join(",");
        lines.push(`${name}${all === "" ? "" : `{${all}}`} ${value}`);
      }
    });
  }
  return `${PREAMBLE}${lines.join("\n")}\n`;
}
