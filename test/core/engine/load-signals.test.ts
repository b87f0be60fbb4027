import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type LoadSignals, readLoadSignals } from "../../../src/core/engine/load-signals.ts";
import { runs } from "../fuzz.ts";

const NOTHING = { kind: null, cacheUsage: null, running: null, waiting: null, asleep: null };

const LMDEPLOY = `# HELP lmdeploy:gpu_cache_usage_perc GPU KV-cache usage. 1 means 100 percent usage.
# TYPE lmdeploy:gpu_cache_usage_perc gauge
lmdeploy:gpu_cache_usage_perc{engine="0",model_name="internlm2"} 0.25
lmdeploy:num_requests_running{engine="0",model_name="internlm2"} 3.0
lmdeploy:num_requests_waiting{engine="0",model_name="internlm2"} 2.0
lmdeploy:num_api_requests_waiting{engine="0",model_name="internlm2"} 4.0
lmdeploy:num_api_requests_routed{engine="0",model_name="internlm2"} 5.0
`;

describe("the engines", () => {
  test("LMDeploy: those waiting at its front and in its scheduler count together", () => {
    expect(readLoadSignals(LMDEPLOY)).toEqual({
      kind: "lmdeploy",
      cacheUsage: 0.25,
      running: 3,
      waiting: 6,
      asleep: null,
    });
  });

  test("vLLM, old and new names, and no metric that only begins alike", () => {
    const page = (usage: string): string => `${usage}
vllm:num_requests_running{engine="0"} 1
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 90
vllm:num_requests_waiting{engine="0"} 2
`;
    const signals: LoadSignals = {
      kind: "vllm",
      cacheUsage: 0.5,
      running: 1,
      waiting: 2,
      asleep: null,
    };
    expect(readLoadSignals(page("vllm:kv_cache_usage_perc 0.5"))).toEqual(signals);
    expect(readLoadSignals(page("vllm:gpu_cache_usage_perc 0.5"))).toEqual(signals);
    const both = "vllm:gpu_cache_usage_perc 0.9\nvllm:kv_cache_usage_perc 0.5";
    expect(readLoadSignals(page(both))).toEqual(signals);
  });

  test("SGLang: the total under the empty priority, or the sum of priorities", () => {
    const singles = `sglang:token_usage{tp_rank="0",dp_rank="0"} 0.5
sglang:num_running_reqs{tp_rank="0",priority="1"} 2
sglang:num_running_reqs{tp_rank="0",priority="5"} 3
sglang:num_queue_reqs{tp_rank="0",priority="1"} 4`;
    const totals = `
sglang:num_running_reqs{tp_rank="0",priority=""} 6
sglang:num_queue_reqs{tp_rank="0",priority=""} 7`;
    const signals: LoadSignals = {
      kind: "sglang",
      cacheUsage: 0.5,
      running: 5,
      waiting: 4,
      asleep: null,
    };
    expect(readLoadSignals(singles)).toEqual({ ...signals });
    expect(readLoadSignals(singles + totals)).toEqual({ ...signals, running: 6, waiting: 7 });
  });

  test("an exporter that writes _ for :", () => {
    expect(readLoadSignals(LMDEPLOY.replaceAll("lmdeploy:", "lmdeploy_"))).toEqual(
      readLoadSignals(LMDEPLOY),
    );
  });

  test("an engine that shows metrics but none of these is still recognised", () => {
    expect(readLoadSignals("vllm:prompt_tokens_total 5")).toEqual({ ...NOTHING, kind: "vllm" });
    expect(readLoadSignals("# HELP vllm:num_requests_running x\nup 1")).toEqual(NOTHING);
    expect(readLoadSignals("")).toEqual(NOTHING);
  });
});

describe("several series", () => {
  test("usage is the mean over ranks, counts are sums", () => {
    const page = `vllm:kv_cache_usage_perc{engine="0"} 0.25
vllm:kv_cache_usage_perc{engine="1"} 0.75
vllm:num_requests_running{engine="0"} 3
vllm:num_requests_running{engine="1"} 4`;
    expect(readLoadSignals(page)).toMatchObject({ cacheUsage: 0.5, running: 7, waiting: null });
  });

  test("replicas of a rank count once, with their highest figure", () => {
    const page = `sglang:num_running_reqs{tp_rank="0",dp_rank="0"} 3
sglang:num_running_reqs{tp_rank="1",dp_rank="0"} 4
sglang:num_running_reqs{tp_rank="0",dp_rank="1"} 5`;
    expect(readLoadSignals(page).running).toBe(9);
  });

  test("a rank that lies counts as the mean of the others", () => {
    const page = `lmdeploy:gpu_cache_usage_perc{engine="0"} NaN
lmdeploy:gpu_cache_usage_perc{engine="1"} 0.5
lmdeploy:num_requests_running{engine="0"} -4
lmdeploy:num_requests_running{engine="1"} 6`;
    expect(readLoadSignals(page)).toMatchObject({ cacheUsage: 0.5, running: 12 });
  });
});

describe("the text format", () => {
  const usage = (rest: string): number | null =>
    readLoadSignals(`vllm:kv_cache_usage_perc${rest}`).cacheUsage;

  test.each([
    [" 0.5", 0.5],
    ["\t5e-1\r", 0.5],
    ["{} 5E-01 1395066363000", 0.5],
    ['{model_name="a b{c}\\"\\\\ \\n,"} .5', 0.5],
    ['{ engine = "0" , dp_rank="1", } +0.5 -12 \r', 0.5],
    ['{model_name="世界"}0.5', 0.5],
    [" 1.", 1],
    [" -0", 0],
    [" NaN", null],
    [" +Inf", null],
    [" -Inf", null],
    [" 1e999", null],
    [" -0.1", null],
    [" 1.01", null],
    [" 0x1p-1", null],
    [" half", null],
    [" 0.5 soon", null],
    ["", null],
    [" ", null],
    ['{engine="0" 0.5', null],
    ['{engine="0} 0.5', null],
    ["{engine=0} 0.5", null],
    ["{engine} 0.5", null],
  ])("%j", (rest, expected) => {
    expect(usage(rest)).toBe(expected);
  });

  test("names count at the beginning of a line only", () => {
    const page = `x_vllm:num_requests_running 1
# vllm:num_requests_running 2
x{le="vllm:num_requests_running 3"} vllm:num_requests_running 4
x\rvllm:num_requests_running 5\u2028vllm:num_requests_running 6
 \tvllm:num_requests_running 7`;
    expect(readLoadSignals(page).running).toBe(7);
  });
});

test("whatever the order, spelling and noise, the figures are the same (property)", () => {
  const rank = fc.record({
    usage: fc.double({ min: 0, max: 1, noNaN: true }),
    running: fc.nat(1000),
    waiting: fc.nat(1000),
  });
  const label = fc
    .tuple(fc.stringMatching(/^[a-z]{1,4}$/), fc.string({ unit: "grapheme", maxLength: 10 }))
    .map(([name, value]) => {
      const escaped = value.replaceAll(/["\\]/g, "\\$&").replaceAll("\n", "\\n");
      return `x_${name}="${escaped}",`;
    });
  const noise = fc.constantFrom("", "# a comment", "up 1", 'x_bucket{le="+Inf"} 3', "vllm:x{} 1");
  const style = fc.record({
    label,
    blank: fc.constantFrom(" ", "\t", "  "),
    timestamp: fc.constantFrom("", " 1395066363000"),
    newline: fc.constantFrom("\n", "\r\n", "\n\n"),
    noise,
  });
  fc.assert(
    fc.property(
      fc.array(rank, { minLength: 1, maxLength: 8 }),
      fc.array(style, { minLength: 24, maxLength: 24 }),
      fc.boolean(),
      (ranks, styles, reversed) => {
        const lines = ranks.flatMap(({ usage, running, waiting }, engine) => [
          ["kv_cache_usage_perc", engine, usage],
          ["num_requests_running", engine, running.toExponential()],
          ["num_requests_waiting", engine, waiting],
        ]);
        const written = lines.map(([name, engine, value], index) => {
          const { label, blank, timestamp, newline, noise } = styles[index] ?? styles[0] ?? never();
          const labels = `${blank}{${label}engine="${engine}"}`;
          return `${noise}${newline}vllm:${name}${labels}${blank}${value}${timestamp}${newline}`;
        });
        const signals = readLoadSignals((reversed ? written.toReversed() : written).join(""));
        const sum = (figures: number[]): number => figures.reduce((a, b) => a + b, 0);
        expect(signals.running).toBeCloseTo(sum(ranks.map(({ running }) => running)));
        expect(signals.waiting).toBeCloseTo(sum(ranks.map(({ waiting }) => waiting)));
        expect(signals.cacheUsage).toBeCloseTo(sum(ranks.map(({ usage }) => usage)) / ranks.length);
      },
    ),
    runs(300),
  );
});

function never(): never {
  throw new Error("no style");
}

test("no page is too wild to read: figures within their ranges or none (fuzzer)", () => {
  const pieces = fc.constantFrom(
    ...["lmdeploy:", "vllm_", "sglang:", "gpu_cache_usage_perc", "num_requests_running"],
    ...["token_usage", "num_queue_reqs", "num_running_reqs", "{", "}", '"', "\\", ",", "=", "\n"],
    ...[" ", "\t", "\r", "engine", 'dp_rank="0"', 'priority=""', "1", "0.5", "-1", "e9", "NaN"],
  );
  const page = fc.array(fc.oneof(pieces, fc.string({ unit: "binary", maxLength: 2 })), {
    maxLength: 120,
  });
  fc.assert(
    fc.property(page, (parts) => {
      const { cacheUsage, running, waiting } = readLoadSignals(parts.join(""));
      expect(cacheUsage === null || (cacheUsage >= 0 && cacheUsage <= 1)).toBe(true);
      for (const count of [running, waiting]) {
        expect(count === null || (count >= 0 && Number.isFinite(count))).toBe(true);
      }
    }),
    runs(5000),
  );
});

test("four megabytes of any kind are read in time in proportion (a slow one never ends)", () => {
  const fill = (piece: string): string => piece.repeat(Math.ceil(2 ** 22 / piece.length));
  const name = "\nlmdeploy:num_requests_waiting";
  for (const piece of [
    ...["\n", " ", "\n ", "lmdeploy:", `${name} {`, `${name}{engine="0"} 1`, `${name}{engine="`],
    ...[`${name} ${"1".repeat(900)}x`, `${name}${" ".repeat(900)}x y`],
    ...[`${name}{a="${"\\a".repeat(450)}"} x`, `${name}{${'a="",'.repeat(180)}x`],
  ]) {
    expect(readLoadSignals(fill(piece)).cacheUsage).toBeNull();
  }
});
