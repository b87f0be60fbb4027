/** The Prometheus text of an engine: the figures by which a proxy judges load, in the words of three. */
import type { EngineKind } from "../../core/engine/kinds.ts";
import type { ModelStats } from "../model/model-types.ts";

interface Figure {
  readonly type: "gauge" | "counter";
  readonly help: string;
  readonly pick: (stats: ModelStats) => number;
}

interface Metric extends Figure {
  readonly name: string;
}

const RUNNING: Figure = {
  type: "gauge",
  help: "Requests in the batch.",
  pick: (s) => s.running,
};
const WAITING: Figure = {
  type: "gauge",
  help: "Requests that wait.",
  pick: (s) => s.waiting,
};
const USAGE: Figure = {
  type: "gauge",
  help: "KV-cache usage; 1 is full.",
  pick: (s) => s.usage,
};
const PROMPT: Figure = {
  type: "counter",
  help: "Prompt tokens processed.",
  pick: (s) => s.computedPromptTokens,
};
const GENERATED: Figure = {
  type: "counter",
  help: "Tokens generated.",
  pick: (s) => s.generatedTokens,
};

/** vLLM's usage leaves evictable blocks out, and so does SGLang's; LMDeploy's counts them. */
const USAGE_WITHOUT_CACHED: Figure = { ...USAGE, pick: (s) => s.usageWithoutCached };

const METRICS: Readonly<Record<EngineKind, readonly Metric[]>> = {
  lmdeploy: [
    { name: "lmdeploy:num_requests_running", ...RUNNING },
    { name: "lmdeploy:num_requests_waiting", ...WAITING },
    // What waits outside the scheduler: nothing does here.
    { name: "lmdeploy:num_api_requests_waiting", ...WAITING, pick: () => 0 },
    { name: "lmdeploy:gpu_cache_usage_perc", ...USAGE },
    { name: "lmdeploy:prompt_tokens_total", ...PROMPT },
    { name: "lmdeploy:generation_tokens_total", ...GENERATED },
  ],
  vllm: [
    { name: "vllm:num_requests_running", ...RUNNING },
    { name: "vllm:num_requests_waiting", ...WAITING },
    { name: "vllm:num_requests_waiting_by_reason", ...WAITING, pick: () => 77 },
    { name: "vllm:kv_cache_usage_perc", ...USAGE_WITHOUT_CACHED },
    { name: "vllm:prompt_tokens_total", ...PROMPT },
    { name: "vllm:generation_tokens_total", ...GENERATED },
  ],
  sglang: [
    { name: "sglang:num_running_reqs", ...RUNNING },
    { name: "sglang:num_queue_reqs", ...WAITING },
    { name: "sglang:token_usage", ...USAGE_WITHOUT_CACHED },
    { name: "sglang:prompt_tokens_total", ...PROMPT },
    { name: "sglang:generation_tokens_total", ...GENERATED },
  ],
  llamacpp: [
    { name: "llamacpp:requests_processing", ...RUNNING },
    { name: "llamacpp:requests_deferred", ...WAITING },
    { name: "llamacpp:prompt_tokens_total", ...PROMPT },
    { name: "llamacpp:tokens_predicted_total", ...GENERATED },
  ],
};

/** Ours alone, under a prefix of its own: a leak of DistServe is a number. */
const SIMULATED: readonly Metric[] = [
  {
    name: "sim:preserved_sessions",
    type: "gauge",
    help: "Prefills whose blocks are kept.",
    pick: (s) => s.preservedRequests,
  },
  {
    name: "sim:preserved_blocks",
    type: "gauge",
    help: "Blocks of those prefills.",
    pick: (s) => s.preservedBlocks,
  },
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

export interface MetricsSource {
  readonly kind: EngineKind;
  readonly model: string;
  /** One entry a rank. */
  readonly stats: readonly ModelStats[];
}

function labelSets({ kind, model }: MetricsSource, rank: number): readonly string[] {
  const name = `model_name="${escapeLabel(model)}"`;
  if (kind !== "sglang") return [`${name},engine="${rank}"`];
  // SGLang shows a total under the empty priority beside the single priorities.
  const ranks = `${name},engine_type="unified",tp_rank="0",pp_rank="0",dp_rank="${rank}"`;
  return [`${ranks},priority=""`, `${ranks},priority="0"`];
}

/** The text for these figures. `usage` stands in for every KV-cache usage if it is given. */
export function metricsText(source: MetricsSource, usage?: string): string {
  const lines: string[] = [];
  for (const { name, type, help, pick } of [...METRICS[source.kind], ...SIMULATED]) {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    source.stats.forEach((stats, rank) => {
      const value = usage !== undefined && name.includes("usage") ? usage : pick(stats).toString();
      for (const labels of labelSets(source, rank)) lines.push(`${name}{${labels}} ${value}`);
    });
  }
  return `${PREAMBLE}${lines.join("\n")}\n`;
}
