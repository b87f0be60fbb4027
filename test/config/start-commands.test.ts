/**
 * Start commands as they stand in public documentation, charts and trainers, but for the program's name
 * and shell variables: each starts lmproxy.
 */
import { describe, expect, test } from "bun:test";
import { parse, refusal } from "./parse.ts";

const TWO = ["http://worker1:8000", "http://worker2:8000"];

const STARTS: readonly (readonly [where: string, argv: string, nodes: readonly string[]])[] = [
  [
    "vllm-router, README",
    "--worker-urls http://worker1:8000 http://worker2:8000 --policy consistent_hash",
    TWO,
  ],
  [
    "vllm-router, README, metrics",
    "--worker-urls http://worker1:8000 http://worker2:8000 --prometheus-host 0.0.0.0 --prometheus-port 9000",
    TWO,
  ],
  [
    "vllm-router, README, retries and breakers",
    "--worker-urls http://worker1:8000 http://worker2:8000 --retry-max-retries 3 --retry-initial-backoff-ms 100 --retry-max-backoff-ms 10000 --retry-backoff-multiplier 2.0 --retry-jitter-factor 0.1 --cb-failure-threshold 5 --cb-success-threshold 2 --cb-timeout-duration-secs 30 --cb-window-duration-secs 60",
    TWO,
  ],
  [
    "prime-rl, multi-node",
    "--policy round_robin --host 0.0.0.0 --port 8000 --request-id-headers x-session-id --prometheus-port 29000 --worker-startup-timeout-secs 4200 --worker-urls http://worker1:8000 http://worker2:8000",
    TWO,
  ],
  [
    "prime-rl, one engine",
    "--policy consistent_hash --host 0.0.0.0 --port 8000 --worker-urls http://localhost:8100 --intra-node-data-parallel-size 1 --request-id-headers x-session-id --request-timeout-secs 14400 --worker-startup-timeout-secs 4200 --prometheus-port 29000",
    ["http://localhost:8100"],
  ],
  [
    "InferenceX, agentic",
    "--worker-urls http://localhost:8100 --policy consistent_hash --intra-node-data-parallel-size 1 --host 0.0.0.0 --port 8000 --prometheus-host 127.0.0.1 --prometheus-port 29000 --request-timeout-secs 14400 --disable-retries",
    ["http://localhost:8100"],
  ],
  [
    "sglang-router, documentation",
    "launch --worker-urls http://worker1:8000 http://worker2:8000 --policy cache_aware --host 0.0.0.0 --port 30000",
    TWO,
  ],
  [
    "sglang-router, documentation, retries",
    "--worker-urls http://worker1:8000 http://worker2:8000 --retry-max-retries 5 --retry-initial-backoff-ms 50 --retry-max-backoff-ms 30000 --retry-backoff-multiplier 1.5 --retry-jitter-factor 0.2",
    TWO,
  ],
  [
    "a serving launcher, equals signs",
    "--host=0.0.0.0 --port 30000 --worker-startup-timeout-secs=36000 --worker-startup-check-interval=10 --policy=round_robin --worker-urls http://worker1:8000 http://worker2:8000",
    TWO,
  ],
  [
    "sglang-router, multi-model",
    "--enable-igw --policy cache_aware --max-concurrent-requests 512",
    [],
  ],
  [
    "sglang-router, tuned",
    "--worker-urls http://worker1:8000 http://worker2:8000 --policy cache_aware --host 0.0.0.0 --port 30080 --cache-threshold 0.2 --balance-abs-threshold 1 --balance-rel-threshold 1.2",
    TWO,
  ],
  [
    "sglang-router, a script that serves either way",
    "--worker-urls http://worker1:8000 http://worker2:8000 --policy cache_aware --prefill-policy cache_aware --decode-policy round_robin --port 30000",
    TWO,
  ],
  [
    "smg, Kubernetes manifest of its documentation",
    "--worker-urls http://sglang-worker:8000 --policy cache_aware --host 0.0.0.0 --port 30000 --prometheus-port 29000",
    ["http://sglang-worker:8000"],
  ],
  [
    "smg, compose file of its documentation",
    "--worker-urls http://worker:8000 --policy cache_aware --prometheus-port 29000 --log-level info",
    ["http://worker:8000"],
  ],
  [
    "smg, documentation, keys",
    "launch --worker-urls http://worker:8000 --api-key your-api-key",
    ["http://worker:8000"],
  ],
  [
    "smg, documentation, breakers",
    "launch --worker-urls http://worker1:8000 http://worker2:8000 --cb-failure-threshold 5 --cb-success-threshold 2 --cb-timeout-duration-secs 30",
    TWO,
  ],
  [
    "smg, documentation, its binary's spelling of a flag",
    "launch --policy manual --worker-urls http://worker1:8000 http://worker2:8000 --assignment-mode min_load --max-idle-secs 14400 --eviction-interval 120",
    TWO,
  ],
  [
    "sglang-router, documentation, cache-aware tuning",
    "--worker-urls http://worker1:8000 http://worker2:8000 --policy cache_aware --cache-threshold 0.5 --balance-abs-threshold 32 --balance-rel-threshold 1.5 --eviction-interval 120 --max-tree-size 67108864",
    TWO,
  ],
  [
    "smg, an image's default command",
    "launch --host 0.0.0.0 --port 8801 --backend sglang --policy cache_aware",
    [],
  ],
  [
    "sglang-router, a test of two engines",
    "--worker-urls http://worker1:8000 http://worker2:8000 --host 127.0.0.1 --port 30000 --policy round_robin --health-failure-threshold 2 --health-success-threshold 2 --health-check-timeout-secs 30 --health-check-interval-secs 15",
    TWO,
  ],
  [
    "vllm-router, a trainer's",
    "--host 127.0.0.1 --port 8000 --policy round_robin --worker-urls http://worker1:8000 http://worker2:8000 --worker-startup-timeout-secs 1800 --retry-max-retries 1 --disable-retries --request-timeout-secs 86400 --request-id-headers x-session-id",
    TWO,
  ],
  [
    "lmdeploy serve proxy, documentation",
    "--server-name 0.0.0.0 --server-port 8000 --routing-strategy min_expected_latency --serving-strategy Hybrid",
    [],
  ],
];

/** What `main` makes of a word before the flags. */
function afterLaunch(argv: string): string {
  return argv.startsWith("launch ") ? `--as smg ${argv.slice("launch ".length)}` : argv;
}

describe("starts as it stands:", () => {
  test.each(STARTS)("%s", (_, argv, nodes) => {
    expect(parse(afterLaunch(argv)).config.nodes).toEqual([...nodes]);
  });
});

describe("is refused with a sentence that says what is instead:", () => {
  test.each([
    [
      "vllm-router, prefill and decode",
      "--policy round_robin --vllm-pd-disaggregation --prefill http://a:8010 --decode http://b:8020 --kv-connector mooncake --host 0.0.0.0 --port 30000",
      "--vllm-pd-disaggregation is refused: prefill and decode of vLLM are not there yet; DistServe here drives LMDeploy engines",
    ],
    [
      "sglang-router, prefill and decode",
      "--pd-disaggregation --prefill http://prefill1:30001 9001 --decode http://decode1:30011 --prefill-policy cache_aware --decode-policy power_of_two",
      "--pd-disaggregation is refused: prefill and decode of SGLang are not there yet; DistServe here drives LMDeploy engines",
    ],
    [
      "sglang-router over gRPC",
      "--worker-urls grpc://127.0.0.1:20000 --model-path meta-llama/Llama-3.1-8B-Instruct --reasoning-parser deepseek-r1 --tool-call-parser json",
      "--worker-urls is refused: engines are reached over http:// or https:// alone",
    ],
    [
      "smg, discovery in Kubernetes",
      "--service-discovery --selector app=sglang-worker --service-discovery-namespace inference --service-discovery-port 8000 --policy cache_aware",
      "--service-discovery is refused: discovery through Kubernetes is not there yet; engines register themselves, or are named by --node",
    ],
    [
      "smg, for trainers",
      "--worker-urls http://rollout-0:30000 --policy cache_aware --enable-rl --disable-health-check --disable-circuit-breaker --request-timeout-secs 14400",
      "--enable-rl is refused: /v1/rl is not here; engines are called by POST /nodes/call",
    ],
    [
      "vllm-router with ranks",
      "--worker-urls http://worker1:8000 --intra-node-data-parallel-size 8 --policy consistent_hash --port 30000",
      "--intra-node-data-parallel-size is refused: ranks are chosen by the engine; give each rank its own port and --node",
    ],
  ])("%s", (_, argv, message) => {
    expect(refusal(argv)).toBe(message);
  });
});
