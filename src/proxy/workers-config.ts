/** What of the configuration is each worker's. */
import type { Config } from "../config/serve-config.ts";
import { ProxyError } from "../core/errors.ts";
import { bodyMemoryBytes } from "./effective.ts";

/**
 * What is bounded for the whole proxy is a part of that for each worker.
 * @throws ProxyError invalid_request when a body does not fit into its part.
 */
export function shareOf(config: Config, count: number): Config {
  const { maxBodyMemoryBytes: memory, maxBodyBytes } = config;
  if (memory !== null && memory < count * maxBodyBytes) {
    throw new ProxyError(
      "invalid_request",
      `--max-body-memory is divided among ${count} workers, and each must hold a body of --max-body; ` +
        "raise it, or lower --max-body or --workers",
    );
  }
  return {
    ...config,
    statePath: null,
    maxBodyMemoryBytes: Math.max(config.maxBodyBytes, Math.floor(bodyMemoryBytes(config) / count)),
    explainBytes: Math.floor(config.explainBytes / count),
  };
}

/** What a reload changes. */
export function keysOf({ apiKeys, adminKey, upstreamApiKey }: Config) {
  return { apiKeys, adminKey, upstreamApiKey };
}
