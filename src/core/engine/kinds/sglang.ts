import type { EngineFacts } from "../engine-facts.ts";

/**
 * SGLang. Source: 0.5.23 as installed. `/health` always takes 1.0 s, idle or busy; it is 503 while it
 * starts, and again from SIGTERM on while it finishes what it has. Its model list is OpenAI's.
 */
export const sglang: EngineFacts = {
  // Its fraction is rounded to two decimals.
  usage: [{ used: "num_used_tokens", of: "max_total_num_tokens" }, { fraction: "token_usage" }],
  running: ["num_running_reqs"],
  waiting: ["num_queue_reqs"],
  awake: null,
  prefix: {
    asked: [["prompt_tokens_total"]],
    found: "cached_tokens_total",
    appearsLate: true,
    counts: "ended",
  },
  // With every prefill and every 40th step of decoding; when idle, no more often than that.
  gaugesRefreshMs: 10_000,
  health: () => null,
  changes: [
    "(?:un)?load_lora_adapter",
    "(?:start|stop)_profile",
    "(?:update|init|release|resume|pause)[\\w-]*",
    "flush_cache",
    "abort_request",
  ],
};
