/** Pages and answers of real engines, as far as a router reads them. */
import { describe, expect, test } from "bun:test";
import { type ProbeResult, readHealth } from "../../../src/core/engine/health-answer.ts";
import {
  changesEngine,
  ENGINE_FACTS,
  ENGINE_KINDS,
  type EngineKind,
  gaugesRefreshMs,
  showsUsage,
} from "../../../src/core/engine/kinds.ts";
import { readLoadSignals } from "../../../src/core/engine/load-signals.ts";

const VLLM = 'engine="0",model_name="tiny"';
const SGLANG = 'engine_type="unified",model_name="tiny",moe_ep_rank="0",pp_rank="0",tp_rank="0"';

describe("gauges", () => {
  test("vLLM 0.32.0", () => {
    const page = (awake: number) => `# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{${VLLM}} 4.0
vllm:num_requests_waiting{${VLLM}} 6.0
vllm:num_requests_waiting_by_reason{${VLLM},reason="capacity"} 6.0
vllm:engine_sleep_state{${VLLM},sleep_state="awake"} ${awake}
vllm:engine_sleep_state{${VLLM},sleep_state="weights_offloaded"} ${1 - awake}
vllm:engine_sleep_state{${VLLM},sleep_state="discard_all"} 0.0
vllm:kv_cache_usage_perc{${VLLM}} 0.12524461839530332
vllm:prefix_cache_queries_total{${VLLM}} 92.0
vllm:prefix_cache_hits_total{${VLLM}} 32.0
vllm:external_prefix_cache_queries_total{${VLLM}} 7.0
vllm:external_prefix_cache_hits_total{${VLLM}} 7.0
vllm:prompt_tokens_total{${VLLM}} 92.0`;
    const read = { kind: "vllm", cacheUsage: 0.12524461839530332, running: 4, waiting: 6 } as const;
    const prefix = { asked: 92, found: 32 };
    expect(readLoadSignals(page(1))).toEqual({ ...read, prefix, asleep: false });
    expect(readLoadSignals(page(0))).toEqual({ ...read, prefix, asleep: true });
    // Without a prefix cache nothing is asked of it.
    const without = page(1).replace("queries_total{", "other{").replace(" 32.0", " 0.0");
    expect(readLoadSignals(without).prefix).toEqual({ asked: 92, found: 0 });
    expect(readLoadSignals(page(1).replace(" 32.0", " 93.0")).prefix).toBeUndefined();
  });

  test("vLLM with several engines sleeps when none of them is awake", () => {
    const rank = (engine: number, awake: number) =>
      `vllm:engine_sleep_state{engine="${engine}",sleep_state="awake"} ${awake}\n`;
    expect(readLoadSignals(rank(0, 0) + rank(1, 1)).asleep).toBe(false);
    expect(readLoadSignals(rank(0, 0) + rank(1, 0)).asleep).toBe(true);
    expect(readLoadSignals('vllm:engine_sleep_state{sleep_state="x"} 1').asleep).toBeNull();
  });

  test("SGLang 0.5.23: tokens are exact, its fraction has two decimals", () => {
    const page = `sglang:max_total_num_tokens{${SGLANG}} 16384.0
sglang:num_running_reqs{${SGLANG}} 3.0
sglang:num_queue_reqs{${SGLANG}} 1.0
sglang:token_usage{${SGLANG}} 0.13
sglang:num_used_tokens{${SGLANG}} 2048.0
sglang:prompt_tokens_total{engine_type="unified",is_streaming="false",model_name="tiny"} 4.0
sglang:prompt_tokens_total{engine_type="unified",is_streaming="true",model_name="tiny"} 100.0
sglang:cached_tokens_total{cache_source="device",engine_type="unified",model_name="tiny"} 20.0`;
    const prefix = { asked: 104, found: 20 };
    const read = { kind: "sglang", prefix, running: 3, waiting: 1, asleep: null } as const;
    // That one is there from the first token on that was found.
    const nothing = page.replace(/^sglang:cached_tokens_total.*$/m, "");
    expect(readLoadSignals(nothing).prefix).toEqual({ asked: 104, found: 0 });
    expect(readLoadSignals(page)).toEqual({ ...read, cacheUsage: 0.125 });
    const without = page.replace(/^sglang:num_used_tokens.*$/m, "");
    expect(readLoadSignals(without)).toEqual({ ...read, cacheUsage: 0.13 });
    for (const lie of ["16385.0", "-1.0", "NaN"]) {
      expect(readLoadSignals(page.replace("2048.0", lie)).cacheUsage).toBe(0.13);
    }
    expect(readLoadSignals(page.replace("16384.0", "0.0")).cacheUsage).toBe(0.13);
  });

  test("SGLang's ranks count each with its own limit", () => {
    const rank = (of: number, used: number, limit: number) =>
      `sglang:num_used_tokens{dp_rank="${of}",tp_rank="0"} ${used}
sglang:num_used_tokens{dp_rank="${of}",tp_rank="1"} ${used}
sglang:max_total_num_tokens{dp_rank="${of}",tp_rank="0"} ${limit}
`;
    expect(readLoadSignals(rank(0, 10, 100) + rank(1, 100, 200)).cacheUsage).toBeCloseTo(0.3);
  });

  test("llama.cpp b11549", () => {
    const page = `llamacpp:prompt_tokens_total 3865
llamacpp:prompt_tokens_cached_total 3428
llamacpp:predicted_tokens_seconds 1307.85
llamacpp:requests_processing 4
llamacpp:requests_deferred 1
llamacpp:n_busy_slots_per_decode 3.1993`;
    expect(readLoadSignals(page)).toEqual({
      kind: "llamacpp",
      prefix: { asked: 3865 + 3428, found: 3428 },
      cacheUsage: null,
      running: 4,
      waiting: 1,
      asleep: null,
    });
    // Older builds do not say what they found.
    const older = page.replace(/^llamacpp:prompt_tokens_cached.*$/m, "");
    expect(readLoadSignals(older).prefix).toBeUndefined();
    expect(ENGINE_KINDS.filter((kind) => !showsUsage(kind))).toEqual(["llamacpp"]);
  });

  test("of an engine that has not said what it is, the slowest is assumed", () => {
    const known = ENGINE_KINDS.map(gaugesRefreshMs);
    expect(gaugesRefreshMs(null)).toBe(Math.max(...known));
  });
});

test("the list of kinds is the table", () => {
  expect<string[]>([...ENGINE_KINDS].sort()).toEqual(Object.keys(ENGINE_FACTS).sort());
});

describe("what /health says", () => {
  const LOADING = '{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}';
  test.each<[EngineKind, number, string, ProbeResult["kind"]]>([
    ["lmdeploy", 200, '{"status":"healthy","message":""}', "ok"],
    ["lmdeploy", 200, "", "ok"],
    ["lmdeploy", 200, '{"status":"sleeping"}', "sleeping"],
    ["lmdeploy", 503, '{"status":"initializing"}', "initializing"],
    ["lmdeploy", 503, '{"status":"unhealthy"}', "bad_answer"],
    ["lmdeploy", 503, '{"status":"sleeping"}', "bad_answer"],
    ["vllm", 200, "", "ok"],
    ["vllm", 503, "", "bad_answer"],
    ["sglang", 503, "", "bad_answer"],
    ["llamacpp", 200, '{"status":"ok"}', "ok"],
    ["llamacpp", 503, LOADING, "initializing"],
    ["llamacpp", 404, "[1]", "bad_answer"],
  ])("%s: %d %s is %s", (_kind, status, body, kind) => {
    expect(readHealth("/health", { status, body }).kind).toBe(kind);
  });
});

test("whatever changes any of them changes an engine", () => {
  for (const path of ["/v1/load_lora_adapter", "/v1/Sleep", "/v1/flush_cache", "/v1/terminate"]) {
    expect(changesEngine(path)).toBe(true);
  }
  for (const path of ["/v1/chat/completions", "/v1/sleepless", "/sleep", "/v1/terminate-x"]) {
    expect(changesEngine(path)).toBe(false);
  }
});
