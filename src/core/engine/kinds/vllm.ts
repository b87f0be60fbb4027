import type { EngineFacts } from "../engine-facts.ts";

/**
 * vLLM. Source: 0.32.0 as installed. `/health` is 200 with nothing as long as its EngineCore has not
 * died, asleep too, and while the core stands still; then it is 503. Its model list is OpenAI's, with
 * adapters beside the model.
 */
export const vllm: EngineFacts = {
  // The second is the name of older releases.
  usage: [{ fraction: "kv_cache_usage_perc" }, { fraction: "gpu_cache_usage_perc" }],
  running: ["num_requests_running"],
  waiting: ["num_requests_waiting"],
  awake: { gauge: "engine_sleep_state", label: "sleep_state", awake: "awake" },
  // Without a prefix cache nothing is asked of it, and prompts are counted all the same.
  prefix: {
    asked: [["prefix_cache_queries_total"], ["prompt_tokens_total"]],
    found: "prefix_cache_hits_total",
    appearsLate: false,
    counts: "admitted",
  },
  // Set at every step of the core; a step is a large prefill's chunk at most.
  gaugesRefreshMs: 1_000,
  health: () => null,
  changes: [
    "(?:un)?load_lora_adapter",
    "sleep",
    "wake_up",
    "(?:start|stop)_profile",
    "(?:update|init|resume|pause)[\\w-]*",
    "collective_rpc",
    "reset_\\w+",
  ],
};
