/** Flags of other routers that are refused: what they ask for is not done here, and what is instead. */
import { type ForeignFlag, rows } from "./foreign-row.ts";

function refused(because: string, names: Readonly<Record<string, string>>): ForeignFlag[] {
  return rows({ kind: "refused", because }, names);
}

export const REFUSED: readonly ForeignFlag[] = [
  ...refused("programs are not scheduled; --sticky keeps a session on its node", {
    V: "enable-program-scheduling? program-scheduling-config-json",
  }),
  ...refused("engines' KV events are not read; --strategy prefix_aware does without", {
    V: "router-temperature kv-penalty-host kv-penalty-external kv-penalty-disk kv-aware-session-affinity-ttl-secs kv-event-source kv-event-replay-source kv-event-block-size kv-event-model pd-kv-events",
  }),
  ...refused("lmproxy is the balancer itself; leave it out", { VS: "mini-lb?" }),
  ...refused("there are no plugins; put a proxy in front", {
    V: "wasm-middleware wasm-middleware-sha256 wasm-middleware-route",
    M: "enable-wasm? storage-hook-wasm-path",
  }),
  ...refused("ranks are chosen by the engine; give each rank its own port and --node", {
    SM: "dp-aware?",
    M: "dp-minimum-tokens-scheduler?",
  }),
  ...refused("the log goes to standard error; redirect it", { VSM: "log-dir" }),
  ...refused("engines register over HTTP (POST /nodes/add), not ZMQ", {
    V: "vllm-discovery-address",
    M: "zmq-engine-count",
  }),
  ...refused(
    "prefill and decode of vLLM are not there yet; DistServe here drives LMDeploy engines",
    {
      V: "vllm-pd-disaggregation? kv-connector",
    },
  ),
  ...refused(
    "prefill and decode of SGLang are not there yet; DistServe here drives LMDeploy engines",
    {
      SM: "pd-disaggregation?",
      M: "pd-admission-wait-secs prefill-queue-size prefill-queue-timeout-secs",
    },
  ),
  ...refused("its place is taken by --max-concurrency-per-node", {
    M: "prefill-max-inflight-requests-per-worker",
  }),
  ...refused("encode workers are no role here; use --prefill and --decode", {
    M: "encode-policy epd-disaggregation? encode encode-selector",
  }),
  ...refused(
    "a rate is not among the limits; see --max-concurrency and --max-concurrency-per-client",
    { VSM: "rate-limit-tokens-per-second" },
  ),
  ...refused("nodes are always probed; name what to probe with --health-path", {
    SM: "disable-health-check?",
  }),
  ...refused("lmproxy keeps no conversations and calls no tools", {
    SM: "mcp-config-path oracle-wallet-path oracle-tns-alias oracle-connect-descriptor oracle-username oracle-password oracle-pool-min oracle-pool-max oracle-pool-timeout-secs postgres-db-url postgres-pool-max redis-url redis-pool-max redis-retention-days",
    M: "storage-context-headers max-background-responses history-memory-max-responses history-memory-max-items history-memory-retention-secs oracle-external-auth? postgres-op-timeout-secs redis-op-timeout-secs schema-config",
  }),
  ...refused("certificates towards engines cannot be set yet", {
    SM: "client-cert-path client-key-path ca-cert-paths",
  }),
  ...refused("give the administrator's key to --admin-key", { SM: "control-plane-api-keys" }),
  ...refused("put an OIDC proxy in front; administration takes --admin-key", {
    SM: "jwt-issuer jwt-audience jwt-jwks-uri jwt-role-mapping",
  }),
  ...refused("/health and /readiness are on --port", { M: "health-check-port" }),
  ...refused("there are no heap profiles; see docs/profile.md", { M: "jemalloc-prof-dir" }),
  ...refused("there are no tenants; --max-concurrency-per-client limits each key", {
    M: "trust-tenant-header? tenant-header-name priority-scheduler-enabled? priority-scheduler-default-max-class priority-scheduler-config priority-scheduler-tenant-metric-top-n tenant-rate-limit-enabled? tenant-rate-limit-config",
  }),
  ...refused("give the keys to --api-keys; --max-concurrency-per-client limits each", {
    M: "tenant-api-key",
  }),
  ...refused("proxies share nothing yet; put sessions on one of them", {
    M: "enable-mesh? mesh-server-name mesh-host mesh-advertise-host mesh-port mesh-peer-urls mesh-tls-ca-cert mesh-tls-cert mesh-tls-key router-selector",
  }),
  // What will have a counterpart.
  ...refused(
    "discovery through Kubernetes is not there yet; engines register themselves, or are named by --node",
    {
      VSM: "service-discovery? selector service-discovery-port service-discovery-namespace prefill-selector decode-selector",
      M: "discovery-provider discovery-file discovery-check-interval-secs kv-connector-annotation kv-engine-id-annotation model-id-from",
    },
  ),
  ...refused(
    "traces are sent over HTTP to where OTEL_EXPORTER_OTLP_ENDPOINT leads; see docs/observing.md",
    {
      SM: "enable-trace? otlp-traces-endpoint",
    },
  ),
  ...refused("/v1/rl is not here; engines are called by POST /nodes/call", {
    M: "enable-rl? rl-control-timeout-secs rl-fanout-concurrency",
  }),
];
