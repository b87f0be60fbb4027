import { type EngineFacts, fieldOf } from "../engine-facts.ts";

/** LMDeploy's api_server. Source: its 0.18.0 as installed; its model list is OpenAI's. */
export const lmdeploy: EngineFacts = {
  usage: [{ fraction: "gpu_cache_usage_perc" }],
  running: ["num_requests_running"],
  // Waiting for the scheduler, and before that for one of the API server's request handles. The second
  // drifts upwards: clients that leave while they wait for a handle stay counted.
  waiting: ["num_requests_waiting", "num_api_requests_waiting"],
  awake: null,
  // `prompt_tokens_total` counts a request with its first token, these two when it has ended well.
  prefix: {
    asked: [["request_prompt_tokens_sum"]],
    found: "cached_tokens_total",
    appearsLate: false,
    counts: "ended",
  },
  // However often they are read. Source: its metrics processor.
  gaugesRefreshMs: 10_000,
  /** `{"status": …}`, with 503 unless healthy or asleep; older releases answer 200 with nothing. It lags by up to 12 s. */
  health: ({ status, body }) => {
    if (status !== 200 && status !== 503) return null;
    const said = fieldOf(body, "status");
    if (said === "sleeping") return status === 200 ? "sleeping" : null;
    return said === "initializing" && status === 503 ? "initializing" : null;
  },
  changes: ["sleep", "wakeup", "update[\\w-]*", "abort_request", "terminate"],
};
