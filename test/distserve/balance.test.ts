/** Each role is spread by its strategy: 1,000 requests, 64 at a time, over three nodes of each. */
import { describe, expect, test } from "bun:test";
import type { RunningEngine } from "../../src/sim/server/engine-options.ts";
import { startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { chat, startRole } from "./cluster.ts";

const REQUESTS = 1_000;
const AT_ONCE = 64;
/**
 * Engines whose answers take equally long whatever their load, so that what a node gets in the end
 * is in proportion to what it has in flight; a prefill takes about as long as a decode.
 */
const PARAMS = { Prefill: { stepBaseMs: 60 }, Decode: { stepBaseMs: 6 } } as const;

async function spread(flags: readonly string[], speeds: readonly number[], requests = REQUESTS) {
  const proxy = await startProxy(["--serving-strategy", "DistServe", ...flags]);
  const start = (role: "Prefill" | "Decode") =>
    Promise.all(
      speeds.map((speed, seed) =>
        startRole(role, proxy, { speed, seed: seed + 1, timeScale: 1, params: PARAMS[role] }),
      ),
    );
  const prefills = await start("Prefill");
  const decodes = await start("Decode");
  const engines = [...prefills, ...decodes];
  try {
    await until("all are connected, and equally warm", async () => {
      const statuses = Object.values(await proxy.status());
      return statuses.every(({ pairs, state }) => state === "healthy" && pairs === speeds.length);
    });
    let left = requests;
    await Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        while (left-- > 0) {
          const stream = left % 2 === 0;
          const body = { max_tokens: 10, ignore_eos: true, stream };
          const answer = await chat(proxy.url, body);
          expect(answer.status).toBe(200);
          await answer.text();
        }
      }),
    );
    return { prefills: served(prefills), decodes: served(decodes) };
  } finally {
    await proxy.end("SIGKILL");
    await Promise.all(engines.map((engine) => engine.stop(true)));
  }
}

function served(engines: readonly RunningEngine[]): number[] {
  return engines.map((engine) => engine.state().completedRequests);
}

describe.each([
  ["min_expected_latency", []],
  ["min_cache_usage", ["--metrics-interval", "1"]],
])("%s", (strategy, flags) => {
  test("gives equal nodes equal shares", async () => {
    const { prefills, decodes } = await spread(["--strategy", strategy, ...flags], [1, 1, 1]);
    for (const counts of [prefills, decodes]) {
      expect(counts.reduce((sum, count) => sum + count, 0)).toBe(REQUESTS);
      expect(Math.max(...counts)).toBeLessThanOrEqual((1.2 * REQUESTS) / 3);
    }
  }, 60_000);
});

test("min_expected_latency gives a node of speed 2 twice as much", async () => {
  const { prefills, decodes } = await spread(["--strategy", "min_expected_latency"], [2, 1, 1]);
  for (const [fast = 0, ...others] of [prefills, decodes]) {
    for (const other of others) {
      expect(fast / other).toBeGreaterThanOrEqual(1.7);
      expect(fast / other).toBeLessThanOrEqual(2.3);
    }
  }
}, 60_000);

test("each role may have a strategy of its own", async () => {
  const flags = ["--prefill-strategy", "round_robin", "--decode-strategy", "min_expected_latency"];
  const { prefills, decodes } = await spread(flags, [2, 1, 1], 300);
  // Each in turn, whatever its speed; beside that, the fast one gets the more.
  expect(Math.max(...prefills)).toBeLessThanOrEqual(1.1 * 100);
  const [fast = 0, ...others] = decodes;
  for (const other of others) expect(fast / other).toBeGreaterThanOrEqual(1.5);
}, 60_000);
