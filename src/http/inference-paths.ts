/** The inference endpoints that engines are known to have; any other POST under `/v1/` is passed on too. */
export const INFERENCE_PATHS = [
  "/v1/chat/completions",
  "/v1/completions",
  "/v1/responses",
  "/v1/messages",
  "/v1/messages/count_tokens",
  "/v1/embeddings",
  "/v1/encode",
  "/v1/rerank",
  "/v1/score",
  "/pooling",
  "/get_ppl",
  "/generate",
  "/rerank",
  "/score",
  "/tokenize",
  "/detokenize",
] as const;

export type InferencePath = (typeof INFERENCE_PATHS)[number];

/**
 * Paths under `/v1/` that change an engine instead of asking it something. Source: the servers of
 * vLLM (LoRA adapters, sleep, weights, profiling) and SGLang.
 */
const CHANGES_ENGINE =
  /^\/v1\/(?:(?:un)?load_lora_adapter|sleep|wake_?up|start_profile|stop_profile|(?:update|init|release|resume|pause)\w*|collective_rpc|reset_\w+|flush_cache|abort_request|terminate)(?:\/|$)/i;

/** Whether a path under `/v1/` may be forwarded. */
export function isForwarded(path: string): boolean {
  return !CHANGES_ENGINE.test(path);
}
