import { type EngineFacts, fieldOf } from "../engine-facts.ts";

/**
 * llama.cpp's server. Source: build 11549. Its metrics need `--metrics` and show no KV-cache usage.
 * What sleeps in it is woken by a request. Its model list is OpenAI's, with one name.
 */
export const llamacpp: EngineFacts = {
  usage: [],
  running: ["requests_processing"],
  waiting: ["requests_deferred"],
  awake: null,
  // The first counts what was computed alone.
  prefix: {
    asked: [["prompt_tokens_total", "prompt_tokens_cached_total"]],
    found: "prompt_tokens_cached_total",
    appearsLate: false,
    counts: "admitted",
  },
  // Made anew at every reading.
  gaugesRefreshMs: 0,
  /** 503 `{"error": {…, "message": "Loading model"}}` until the model is loaded. */
  health: ({ status, body }) =>
    status === 503 && fieldOf(body, "error") !== null && body.includes("Loading model")
      ? "initializing"
      : null,
  changes: [],
};
