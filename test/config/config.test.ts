import { describe, expect, test } from "bun:test";
import { flagName, variableName } from "../../src/config/flag.ts";
import { SERVE_FLAGS } from "../../src/config/serve-flags.ts";
import { parse } from "./parse.ts";

test("without flags and variables everything has its documented default", () => {
  expect(parse("").config).toEqual({
    host: "0.0.0.0",
    port: 8000,
    tls: null,
    workers: null,
    strategy: "min_expected_latency",
    prefillStrategy: null,
    decodeStrategy: null,
    sticky: false,
    sessionHeaders: [],
    sessionTimeoutMs: 7_200_000,
    servingStrategy: "Hybrid",
    nodes: [],
    prefillNodes: [],
    decodeNodes: [],
    migrationProtocol: "RDMA",
    linkType: "RoCE",
    gdr: true,
    dummyPrefill: false,
    warmup: true,
    apiKeys: [],
    adminKey: null,
    upstreamApiKey: null,
    forwardPaths: [],
    forwardCredentials: false,
    as: null,
    trustNodes: null,
    allowNodes: [],
    metricsIntervalMs: 5000,
    healthIntervalMs: 5000,
    healthTimeoutMs: 5000,
    healthPath: "/health",
    maxBodyBytes: 67_108_864,
    maxHeaderBytes: 65_536,
    maxBodyMemoryBytes: null,
    timeoutMs: null,
    connectTimeoutMs: 5000,
    firstByteTimeoutMs: null,
    idleTimeoutMs: null,
    sseKeepaliveMs: null,
    bodyTimeoutMs: 30_000,
    retry: true,
    retrySent: true,
    maxConcurrency: null,
    maxConcurrencyPerNode: null,
    maxConcurrencyPerClient: null,
    queueSize: 1000,
    queueTimeoutMs: 30_000,
    drainTimeoutMs: 60_000,
    modelAliases: [],
    requestIdHeaders: [],
    allowedOrigins: [],
    trustedProxies: [],
    adminHosts: [],
    keepAliveMs: 75_000,
    shutdownDelayMs: 0,
    statePath: null,
    takeover: false,
    logLevel: "info",
    logFormat: "auto",
    accessLog: "all",
    explainBytes: 8_388_608,
    exposeNode: false,
    traces: null,
    metricsPort: null,
    metricsHost: "127.0.0.1",
  });
});

test("the configuration cannot be changed", () => {
  const { config } = parse("--node http://a:1 --tls-key k --tls-cert c", {
    files: { k: "key", c: "certificate" },
  });
  expect(Object.isFrozen(config)).toBe(true);
  expect(Object.isFrozen(config.nodes)).toBe(true);
  expect(Object.isFrozen(config.tls)).toBe(true);
});

/** One typed value for each flag that takes one, as flag and variable alike would be given it. */
const EXAMPLES: Readonly<Record<string, { text: string; value: unknown }>> = {
  "--host": { text: "::1", value: "::1" },
  "--port": { text: "9000", value: 9000 },
  "--workers": { text: "AUTO", value: "auto" },
  "--node": { text: "http://a:1", value: ["http://a:1"] },
  "--strategy": { text: "MIN_cache_usage", value: "min_cache_usage" },
  "--serving-strategy": { text: "distserve", value: "DistServe" },
  "--prefill": { text: "http://p:1", value: ["http://p:1"] },
  "--decode": { text: "https://d", value: ["https://d"] },
  "--prefill-strategy": { text: "random", value: "random" },
  "--decode-strategy": { text: "min_observed_latency", value: "min_observed_latency" },
  "--session-header": { text: "X-Chat", value: ["X-Chat"] },
  "--session-timeout": { text: "600", value: 600_000 },
  "--migration-protocol": { text: "nvlink", value: "NVLINK" },
  "--link-type": { text: "ib", value: "IB" },
  "--api-keys": { text: "sk-1", value: ["sk-1"] },
  "--forward": { text: "/my/inference", value: ["/my/inference"] },
  "--as": { text: "VLLM-router", value: "vllm-router" },
  "--admin-key": { text: "sk-admin", value: "sk-admin" },
  "--upstream-api-key": { text: "sk-up", value: "sk-up" },
  "--trust-nodes": { text: "10.0.0.7", value: ["10.0.0.7"] },
  "--allow-nodes": { text: "*.gpu.internal", value: ["*.gpu.internal"] },
  "--metrics-interval": { text: "2.5", value: 2500 },
  "--health-interval": { text: "1.1", value: 1100 },
  "--health-timeout": { text: ".25", value: 250 },
  "--health-path": { text: "/v1/models", value: "/v1/models" },
  "--max-body": { text: "1.5MiB", value: 1_572_864 },
  "--max-header-size": { text: "32KiB", value: 32_768 },
  "--max-body-memory": { text: "64MiB", value: 67_108_864 },
  "--timeout": { text: "600", value: 600_000 },
  "--connect-timeout": { text: "0.5", value: 500 },
  "--first-byte-timeout": { text: "90", value: 90_000 },
  "--idle-timeout": { text: "0", value: null },
  "--sse-keepalive": { text: "15", value: 15_000 },
  "--body-timeout": { text: "10", value: 10_000 },
  "--max-concurrency": { text: "512", value: 512 },
  "--max-concurrency-per-node": { text: "64", value: 64 },
  "--max-concurrency-per-client": { text: "0", value: null },
  "--queue-size": { text: "0", value: 0 },
  "--queue-timeout": { text: "0", value: 0 },
  "--drain-timeout": { text: "5", value: 5000 },
  "--model-alias": { text: "gpt-4o=llama", value: ["gpt-4o=llama"] },
  "--allowed-origins": { text: "https://a.test", value: ["https://a.test"] },
  "--request-id-headers": { text: "X-Session-ID", value: ["X-Session-ID"] },
  "--trusted-proxies": { text: "10.0.0.0/8", value: ["10.0.0.0/8"] },
  "--admin-hosts": { text: "llm.internal", value: ["llm.internal"] },
  "--keep-alive": { text: "120", value: 120_000 },
  "--shutdown-delay": { text: "5", value: 5_000 },
  "--state": { text: "/var/lib/nodes.json", value: "/var/lib/nodes.json" },
  "--log-level": { text: "Critical", value: "fatal" },
  "--log-format": { text: "LogFmt", value: "logfmt" },
  "--metrics-port": { text: "9090", value: 9090 },
  "--metrics-host": { text: "::", value: "::" },
  "--access-log": { text: "slow=2.5s", value: 2500 },
  "--explain-memory": { text: "512KiB", value: 524_288 },
};

/** Those that make `tls` and `statePath` together have tests of their own. */
const COMBINED = [
  "--ssl",
  "--tls-key",
  "--tls-cert",
  "--disable-cache-status",
  "--takeover",
  "--print-config",
];

describe.each(SERVE_FLAGS.filter((flag) => !COMBINED.includes(flagName(flag))))(
  "--$names.0",
  (flag) => {
    const name = flagName(flag);
    const variable = variableName(flag, "LMPROXY_");
    const mode = flag.mode === "DistServe" ? "--serving-strategy DistServe" : "";
    const isSwitch = flag.argument === null;
    const example = isSwitch ? { text: "", value: flag.sets } : EXAMPLES[name];

    test.each(flag.names.map((spelling) => [spelling]))("is set by --%s", (spelling) => {
      const { config, sources } = parse(`${mode} --${spelling} ${example?.text}`);
      expect(new Map<string, unknown>(Object.entries(config)).get(flag.key)).toEqual(
        example?.value,
      );
      expect(sources.get(flag.key)).toEqual({ kind: "flag", name });
    });

    test(`is set by ${variable}`, () => {
      const env = { [variable]: isSwitch ? "true" : (example?.text ?? "") };
      const { config, sources } = parse(mode, { env });
      expect(new Map<string, unknown>(Object.entries(config)).get(flag.key)).toEqual(
        example?.value,
      );
      expect(sources.get(flag.key)).toEqual({ kind: "variable", name: variable });
    });
  },
);

describe("order", () => {
  test("a flag wins over a variable, ours over LMDeploy's, an empty one counts as not set", () => {
    const env = { AIOHTTP_TIMEOUT: "1", LMPROXY_TIMEOUT: "2" };
    expect(parse("--timeout 3", { env }).config.timeoutMs).toBe(3000);
    expect(parse("", { env }).config.timeoutMs).toBe(2000);
    const { config, sources } = parse("", { env: { ...env, LMPROXY_TIMEOUT: "" } });
    expect(config.timeoutMs).toBe(1000);
    expect(sources.get("timeoutMs")).toEqual({ kind: "variable", name: "AIOHTTP_TIMEOUT" });
  });

  test("a switch can be turned off again by its variable", () => {
    expect(parse("", { env: { LMPROXY_NO_RETRY: "false" } }).config.retry).toBe(true);
    expect(parse("", { env: { LMPROXY_NO_RETRY: "1" } }).config.retry).toBe(false);
  });
});

describe("LMDeploy's variables", () => {
  test.each([
    ["LMDEPLOY_PROXY_POLL_METRICS_INTERVAL", "7", "metricsIntervalMs", 7000],
    ["LMDEPLOY_HEALTH_CHECK_INTERVAL", "8", "healthIntervalMs", 8000],
    ["LMDEPLOY_HEALTH_CHECK_TIMEOUT", "3", "healthTimeoutMs", 3000],
    ["AIOHTTP_TIMEOUT", "1800", "timeoutMs", 1_800_000],
    ["LMDEPLOY_PROXY_CONN_LIMIT", "100", "maxConcurrency", 100],
    ["LMDEPLOY_PROXY_CONN_LIMIT", "0", "maxConcurrency", null],
    ["LMDEPLOY_PROXY_CONN_LIMIT_PER_HOST", "9", "maxConcurrencyPerNode", 9],
  ])("%s=%s sets %s", (name, text, key, value) => {
    const { config } = parse("", { env: { [name]: text } });
    expect(new Map<string, unknown>(Object.entries(config)).get(key)).toBe(value);
  });

  test("the heart beat's expiration makes nobody probe every 90 s", () => {
    const env = { LMDEPLOY_CONTROLLER_HEART_BEAT_EXPIRATION: "90" };
    const { config, notes } = parse("", { env });
    expect(config.healthIntervalMs).toBe(5000);
    expect(notes.map(({ text }) => text)).toEqual([
      "LMDEPLOY_CONTROLLER_HEART_BEAT_EXPIRATION has no effect here: nodes are probed every --health-interval",
    ]);
  });
});

test("what Kubernetes sets for a Service called lmproxy is not taken for a flag", () => {
  const env = {
    LMPROXY_PORT: "tcp://10.96.0.12:8000",
    LMPROXY_SERVICE_HOST: "10.96.0.12",
    LMPROXY_SERVICE_PORT: "8000",
    LMPROXY_PORT_8000_TCP: "tcp://10.96.0.12:8000",
  };
  expect(parse("", { env }).config.port).toBe(8000);
});

test("prefill nodes get prefix_aware where no strategy is named", () => {
  const of = (line: string) => {
    const { strategy, prefillStrategy, decodeStrategy } = parse(line).config;
    return [prefillStrategy ?? strategy, decodeStrategy ?? strategy];
  };
  const both = "--serving-strategy DistServe";
  expect(of(both)).toEqual(["prefix_aware", "min_expected_latency"]);
  expect(of(`${both} --strategy random`)).toEqual(["random", "random"]);
  expect(of(`${both} --decode-strategy random`)).toEqual(["prefix_aware", "random"]);
  expect(of(`${both} --prefill-strategy random`)).toEqual(["random", "min_expected_latency"]);
});
