import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { RetryBudget } from "../../src/core/retry.ts";
import { runs } from "./fuzz.ts";

/** How many draws are granted, one after the other, until one is not. */
function drawAll(budget: RetryBudget, nowMs: number): number {
  let drawn = 0;
  while (budget.draw(nowMs)) drawn += 1;
  return drawn;
}

describe("how many retries a model may have in a second", () => {
  test.each([
    [0, 3],
    [1, 3],
    [4, 3],
    [5, 4],
    [100, 23],
    [1_000, 203],
  ])("after %d requests: %d", (requests, retries) => {
    const budget = new RetryBudget();
    const startMs = 123_456.7;
    for (let i = 0; i < requests; i += 1) budget.request(startMs + (i * 800) / requests);
    expect(drawAll(budget, startMs + 800)).toBe(retries);
  });

  test("what is spent comes back after a second, not before", () => {
    const budget = new RetryBudget();
    expect(drawAll(budget, 50_000)).toBe(3);
    expect(drawAll(budget, 50_999)).toBe(0);
    expect(drawAll(budget, 51_100)).toBe(3);
  });

  test("requests count for a second, not for longer", () => {
    const budget = new RetryBudget();
    for (let i = 0; i < 50; i += 1) budget.request(50_000);
    expect(drawAll(budget, 51_000)).toBe(3);
  });

  test("a long silence leaves nothing behind", () => {
    const budget = new RetryBudget();
    for (let i = 0; i < 50; i += 1) budget.request(50_000);
    expect(budget.idle(50_500)).toBe(false);
    expect(budget.idle(9_050_000)).toBe(true);
    expect(drawAll(budget, 9_050_000)).toBe(3);
    expect(budget.idle(9_050_001)).toBe(false);
  });
});

interface Happening {
  readonly afterMs: number;
  readonly requests: number;
  readonly draws: number;
}

const anyTraffic = fc.array(
  fc.record({
    afterMs: fc.oneof(fc.nat(30), fc.double({ min: 0, max: 1_500, noNaN: true })),
    requests: fc.nat(12),
    draws: fc.nat(12),
  }),
  { maxLength: 200, size: "max" },
);

/** Plays the traffic; when each request and each granted retry was. */
function play(traffic: readonly Happening[]): { requests: number[]; retries: number[] } {
  const budget = new RetryBudget();
  const requests: number[] = [];
  const retries: number[] = [];
  let nowMs = 1_000;
  for (const happening of traffic) {
    nowMs += happening.afterMs;
    for (let i = 0; i < happening.requests; i += 1) {
      budget.request(nowMs);
      requests.push(nowMs);
    }
    for (let i = 0; i < happening.draws; i += 1) if (budget.draw(nowMs)) retries.push(nowMs);
  }
  return { requests, retries };
}

test("whatever the traffic: at most a fifth of the requests and 3 a second, over the whole and in any second", () => {
  fc.assert(
    fc.property(anyTraffic, (traffic) => {
      const { requests, retries } = play(traffic);
      const seconds = ((retries.at(-1) ?? 0) - (retries[0] ?? 0)) / 1_000;
      expect(retries.length).toBeLessThanOrEqual(0.2 * requests.length + 3 * (seconds + 1));
      for (const endMs of retries) {
        const inSecond = (atMs: number) => atMs > endMs - 1_000 && atMs <= endMs;
        const allowed = 3 + 0.2 * requests.filter(inSecond).length;
        expect(retries.filter(inSecond).length).toBeLessThanOrEqual(allowed);
      }
    }),
    runs(200),
  );
});

test("under steady traffic it gives nearly all it promises", () => {
  const budget = new RetryBudget();
  let retries = 0;
  for (let atMs = 0; atMs < 20_000; atMs += 10) {
    budget.request(atMs);
    if (budget.draw(atMs)) retries += 1;
  }
  // 100 a second for 20 s: 20 and 3 a second, a tenth less for the width of the slots.
  expect(retries).toBeWithin(0.85 * 23 * 20, 23 * 21);
});
