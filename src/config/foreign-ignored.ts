/** Flags of other routers that are accepted and change nothing, each with the reason. */
import { type ForeignFlag, rows } from "./foreign-row.ts";

function ignored(because: string, names: Readonly<Record<string, string>>): ForeignFlag[] {
  return rows({ kind: "nothing", because }, names);
}

export const IGNORED: readonly ForeignFlag[] = [
  ...ignored("nodes are probed until they are removed, and may join at any time", {
    VSM: "worker-startup-timeout-secs worker-startup-check-interval",
    M: "worker-startup-delay job-queue-capacity job-queue-concurrency remove-unhealthy-workers? worker-auto-recovery? no-remove-unhealthy-workers? no-worker-auto-recovery?",
  }),
  ...ignored("it tunes a prefix tree that is not here", {
    VSM: "cache-threshold cache-match-threshold balance-abs-threshold spill-abs-threshold balance-rel-threshold spill-rel-threshold eviction-interval-secs max-tree-size",
    M: "prefix-token-count prefix-hash-load-factor prefix-hash-balance-abs-threshold balance-token-usage-threshold overload-token-usage-threshold kv-index selection-policy selection-accounting-ttl-ms overlap-decay selection-temperature block-size cache-boundaries cache-index cache-ttl-secs",
  }),
  ...ignored("several models are always served", { VSM: "enable-igw?" }),
  ...ignored("another node is tried at once, without a pause, within a budget", {
    VSM: "retry-initial-backoff-ms retry-max-backoff-ms retry-backoff-multiplier retry-jitter-factor",
  }),
  ...ignored("a node is out after 2 failures and tried again after 1 s, 2 s, … 30 s", {
    VSM: "cb-failure-threshold cb-success-threshold cb-timeout-duration-secs cb-window-duration-secs disable-circuit-breaker?",
  }),
  ...ignored(
    "a node is out after 2 probes without an answer or 1 refusal, and back after 1 answer",
    {
      VSM: "health-failure-threshold health-success-threshold",
    },
  ),
  ...ignored("it tunes a policy that is not here", {
    SM: "bucket-adjust-interval-secs",
    M: "least-load-kv-pressure-weight least-load-default-throughput least-load-mean-prefill-tokens least-load-max-waiting-requests power-of-two-load-metric",
  }),
  ...ignored("the metrics have buckets of their own", { SM: "prometheus-duration-buckets*" }),
  ...ignored("bodies pass as they came, and engines tokenise and parse", {
    SM: "model-path model tokenizer-path chat-template tokenizer-cache-enable-l0? tokenizer-cache-l0-max-entries tokenizer-cache-enable-l1? tokenizer-cache-l1-max-memory reasoning-parser tool-call-parser",
    M: "disable-tokenizer-autoload? parser tokenizer-cache-l0-max-memory",
  }),
  ...ignored("the log has every request, administration too", {
    SM: "control-plane-audit-enabled?",
  }),
  ...ignored("connections to engines are fixed: HTTP/1.1, kept while engines keep them", {
    M: "upstream-http2? upstream-pool-idle-timeout-secs",
  }),
  ...ignored("nodes are judged by their answers, and come in over 10 s", {
    M: "worker-overload-waiting-requests worker-overload-token-usage worker-overload-protection? disable-worker-overload-protection? worker-overload-shed? worker-stall-secs worker-wedge-secs worker-stale-secs worker-warmup-secs worker-warmup-share worker-warmup-blocks worker-warmup-thin-ratio worker-warmup-divert-every",
  }),
  ...ignored("a body is kept for as long as it may be sent again; see --max-body-memory", {
    M: "max-buffered-request-bytes",
  }),
  ...ignored("engines' metrics are read where a strategy needs them", {
    M: "disable-load-monitoring?",
  }),
  ...ignored("media pass as they came", {
    M: "multimodal-tensor-transport multimodal-shm-min-bytes multimodal-max-inflight-bytes mm-per-request-image-limit mm-processing mm-pixel-cache-mb mm-pixel-rdma? mm-allowed-media-domains mm-allow-private-media-hosts? rdma-listen-ip rdma-slot-ttl-s log-mm-timing?",
  }),
  ...ignored("slow request heads are cut off after --keep-alive", {
    M: "header-read-timeout-secs",
  }),
  ...ignored("there are no flags with a prefix here", { M: "router-disable-arg-fallback?" }),
];
