import { describe, expect, test } from "bun:test";
import { ENGINE_KINDS, type EngineKind } from "../../../src/core/engine/kinds.ts";
import { readLoadSignals } from "../../../src/core/engine/load-signals.ts";
import type { RunningEngine } from "../../../src/sim/server/engine-options.ts";
import { engineStarter, post, until } from "./running.ts";

const start = engineStarter();

async function scrape(engine: RunningEngine, path = "/metrics"): Promise<readonly string[]> {
  const text = await (await fetch(engine.url + path)).text();
  return text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
}

/** Values of a metric's series by their labels, in the order shown. */
async function values(engine: RunningEngine, name: string): Promise<Record<string, number>> {
  const lines = (await scrape(engine)).filter((line) => line.startsWith(`${name}{`));
  return Object.fromEntries(
    lines.map((line) => [
      line.slice(name.length, line.lastIndexOf(" ")),
      Number(line.split(" ").at(-1)),
    ]),
  );
}

/** Starts a request that never ends by itself and waits until it runs. */
async function occupy(engine: RunningEngine, count = 1): Promise<AbortController> {
  const gone = new AbortController();
  for (let i = 0; i < count; i += 1) {
    const prompt = `${i} ${"x".repeat(4_000)}`;
    const body = { model: engine.state().models[0], prompt, max_tokens: 1_000, ignore_eos: true };
    post(`${engine.url}/v1/completions`, body, { signal: gone.signal }).catch(() => {});
  }
  await until(() => engine.state().running === count);
  return gone;
}

describe("the names and labels of", () => {
  const kinds: readonly (readonly [EngineKind, string, string, string])[] = [
    ["lmdeploy", "lmdeploy:gpu_cache_usage_perc", "lmdeploy:num_requests_running", "engine"],
    ["vllm", "vllm:kv_cache_usage_perc", "vllm:num_requests_running", "engine"],
    ["sglang", "sglang:token_usage", "sglang:num_running_reqs", "dp_rank"],
  ];

  test.each(kinds)("%s", async (kind, usage, runningName, rankLabel) => {
    const engine = await start({ kind, timeScale: 1_000, metricsRefreshMs: 0 });
    const gone = await occupy(engine);
    for (const name of [usage, runningName]) {
      const [[labels, value] = ["", 0]] = Object.entries(await values(engine, name));
      expect(labels).toContain('model_name="tiny"');
      expect(labels).toContain(`${rankLabel}="0"`);
      expect(value).toBeGreaterThan(0);
    }
    expect(await (await fetch(`${engine.url}/v1/models`)).json()).toMatchObject({
      data: [{ id: "tiny", owned_by: kind }],
    });
    gone.abort();
  });
});

describe("what was found in the prefix cache is counted as a router reads it, by", () => {
  test.each(ENGINE_KINDS)("%s", async (kind) => {
    for (const prefixCache of [true, false]) {
      const engine = await start({ kind, params: { prefixCache } });
      const prompt = "z".repeat(64 * 4 * 10);
      for (let nth = 0; nth < 2; nth += 1) await post(`${engine.url}/v1/completions`, { prompt });
      const { prefix } = readLoadSignals(await (await fetch(`${engine.url}/metrics`)).text());
      const { asked = 0, found = 0 } = prefix ?? {};
      expect(asked).toBeGreaterThanOrEqual(2 * 640);
      expect(found > 500).toBe(prefixCache);
    }
  });
});

test("usage counts what requests hold; to 0.17 also what only the prefix cache does", async () => {
  const name = "lmdeploy:gpu_cache_usage_perc";
  for (const [release, usage] of [
    ["0.18", 0],
    ["0.17", 0.1],
  ] as const) {
    const engine = await start({ release, params: { totalBlocks: 100 } });
    expect(Object.values(await values(engine, name))).toEqual([0]);
    await post(`${engine.url}/v1/completions`, { prompt: "y".repeat(64 * 4 * 10) });
    expect(engine.state()).toMatchObject({ usedBlocks: 0, cachedBlocks: 10 });
    expect(Object.values(await values(engine, name))).toEqual([usage]);
  }
});

test("a client that leaves a stream while it waits for a place is counted for ever", async () => {
  const engine = await start({
    timeScale: 1_000,
    metricsRefreshMs: 0,
    params: { maxBatchSize: 1 },
  });
  const gone = await occupy(engine);
  const waiting = async () =>
    Object.values(await values(engine, "lmdeploy:num_api_requests_waiting"));
  for (const stream of [true, false]) {
    const left = new AbortController();
    const body = { prompt: "late", stream };
    const { signal } = left;
    post(`${engine.url}/v1/completions`, body, { signal })
      .then((answer) => answer.text())
      .catch(() => {});
    await until(() => engine.state().waiting === 1);
    expect(await waiting()).toEqual([stream ? 1 : 2]);
    left.abort();
    await until(() => engine.state().waiting === 0);
    expect(await waiting()).toEqual([1]);
  }
  gone.abort();
});

test("every rank has a series of its own, and requests go to them in turn", async () => {
  const engine = await start({ ranks: 3, timeScale: 1, metricsRefreshMs: 0 });
  const gone = await occupy(engine, 4);
  const running = await values(engine, "lmdeploy:num_requests_running");
  expect(running).toEqual({
    '{engine="0",model_name="tiny"}': 2,
    '{engine="1",model_name="tiny"}': 1,
    '{engine="2",model_name="tiny"}': 1,
  });
  gone.abort();
});

test("waiting requests are shown, and a model's name is escaped", async () => {
  const engine = await start({
    models: ['a"b\\c'],
    timeScale: 1_000,
    metricsRefreshMs: 0,
    params: { maxBatchSize: 1 },
  });
  const gone = await occupy(engine);
  const late = { model: engine.state().models[0], prompt: "late" };
  post(`${engine.url}/v1/completions`, late, { signal: gone.signal }).catch(() => {});
  await until(() => engine.state().waiting === 1);
  expect(await values(engine, "lmdeploy:num_api_requests_waiting")).toEqual({
    '{engine="0",model_name="a\\"b\\\\c"}': 1,
  });
  gone.abort();
});

test("gauges are refreshed at their interval only, however often they are read", async () => {
  let nowMs = 0;
  const engine = await start({ metricsRefreshMs: 10_000, now: () => nowMs, timeScale: 1 });
  const name = "lmdeploy:num_requests_running";
  expect(Object.values(await values(engine, name))).toEqual([0]);
  const gone = await occupy(engine);
  nowMs = 9_999;
  expect(Object.values(await values(engine, name))).toEqual([0]);
  nowMs = 10_000;
  expect(Object.values(await values(engine, name))).toEqual([1]);
  gone.abort();
});

test("metrics may be off", async () => {
  const engine = await start({ metrics: false });
  expect((await fetch(`${engine.url}/metrics`)).status).toBe(404);
});

describe("lies", () => {
  test.each([
    ["nan", "NaN"],
    ["infinite", "+Inf"],
    ["negative", "-0.5"],
    ["above-one", "7.5"],
  ] as const)("%s", async (lie, value) => {
    const engine = await start({ faults: [{ fault: { kind: "metrics", lie } }] });
    const lines = await scrape(engine, "/metrics/");
    const usage = lines.find((line) => line.startsWith("lmdeploy:gpu_cache_usage_perc"));
    expect(usage).toEndWith(` ${value}`);
  });

  test("a million series", async () => {
    const fault = { kind: "metrics", lie: "million-series" } as const;
    const engine = await start({ faults: [{ fault }] });
    const bytes = await (await fetch(`${engine.url}/metrics`)).bytes();
    let lines = 0;
    for (const byte of bytes) if (byte === 10) lines += 1;
    expect(lines).toBe(1_000_000);
  }, 60_000);
});
