import { describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { CacheUsage, DEFAULT_CACHE_SHARE } from "../../../src/core/pool/cache-usage.ts";
import { Cluster, OK } from "../../../src/lab/cluster.ts";
import { runs } from "../fuzz.ts";

setDefaultTimeout(60_000);

const MAX_AGE_MS = 15_000;
const EMPTY = { cacheUsage: 0.2, running: 0, waiting: 0 };

describe("the usage expected now", () => {
  test("is not known without a sample, nor from one that shows none", () => {
    const usage = new CacheUsage();
    usage.started();
    expect(usage.expected(0, MAX_AGE_MS)).toBeNull();
    usage.sampled({ cacheUsage: null, running: 3, waiting: 0 }, 0, 0);
    expect(usage.expected(0, MAX_AGE_MS)).toBeNull();
    expect(usage.ageMs(40)).toBe(40);
  });

  test("is not known from a sample as old as it may not be", () => {
    const usage = new CacheUsage();
    usage.sampled(EMPTY, 1_000, 0);
    expect(usage.expected(15_999, MAX_AGE_MS)).toBe(0.2);
    expect(usage.expected(16_000, MAX_AGE_MS)).toBeNull();
  });

  test("is the sample and 0.02 for each request sent since, until there is something to learn from", () => {
    const usage = new CacheUsage();
    usage.sampled(EMPTY, 0, 0);
    for (let i = 0; i < 5; i += 1) usage.started();
    expect(DEFAULT_CACHE_SHARE).toBe(0.02);
    expect(usage.expected(100, MAX_AGE_MS)).toBeCloseTo(0.3, 12);
  });

  test("counts a request that has ended again less and less", () => {
    const usage = new CacheUsage();
    usage.sampled(EMPTY, 0, 0);
    usage.started();
    usage.ended(100, 100);
    expect(usage.expected(100, MAX_AGE_MS)).toBeCloseTo(0.22, 12);
    expect(usage.expected(2_100, MAX_AGE_MS)).toBeCloseTo(0.2 + 0.02 / Math.E, 12);
    expect(usage.expected(14_000, MAX_AGE_MS)).toBeCloseTo(0.2, 4);
  });

  test("is not changed by the end of a request that the sample holds", () => {
    const usage = new CacheUsage();
    usage.started();
    usage.sampled(EMPTY, 1_000, 0);
    usage.ended(900, 1_100);
    expect(usage.expected(1_200, MAX_AGE_MS)).toBe(0.2);
  });

  test("counts anew from a fresh sample, with what was sent while it was on its way", () => {
    const cluster = new Cluster({ nodes: 1 });
    const { registry, time } = cluster;
    const node = cluster.node("n0");
    registry.learning.sampled(node, EMPTY, "vllm", time.nowMs);
    const before = cluster.lease();
    time.advance(1_000);
    const askedAtMs = time.nowMs;
    time.advance(300);
    const during = cluster.lease();
    registry.learning.sampled(node, { ...EMPTY, cacheUsage: 0.4 }, "vllm", askedAtMs);
    expect(node.cache.expected(time.nowMs, MAX_AGE_MS)).toBeCloseTo(0.42, 12);
    before.end(OK);
    expect(node.cache.expected(time.nowMs, MAX_AGE_MS)).toBeCloseTo(0.42, 12);
    during.end(OK);
    time.advance(13_000);
    expect(node.cache.expected(time.nowMs, MAX_AGE_MS)).toBeCloseTo(0.4, 3);
  });

  test("goes on counting while the gauges stand still: they may not have been refreshed for 10 s", () => {
    const usage = new CacheUsage();
    usage.sampled(EMPTY, 0, 0);
    usage.started();
    usage.sampled(EMPTY, 5_000, 0);
    usage.started();
    expect(usage.expected(5_000, MAX_AGE_MS)).toBeCloseTo(0.24, 12);
    usage.sampled(EMPTY, 10_000, 1);
    expect(usage.expected(10_000, MAX_AGE_MS)).toBeCloseTo(0.22, 12);
    expect(usage.ageMs(10_000)).toBe(0);
  });

  test("believes gauges that have moved", () => {
    const usage = new CacheUsage();
    usage.sampled(EMPTY, 0, 0);
    usage.started();
    usage.sampled({ ...EMPTY, waiting: 1 }, 5_000, 0);
    expect(usage.expected(5_000, MAX_AGE_MS)).toBe(0.2);
  });
});

describe("what one request takes", () => {
  test("is learned from usage and running requests", () => {
    const usage = new CacheUsage();
    usage.sampled({ cacheUsage: 0.4, running: 8, waiting: 2 }, 0, 0);
    expect(usage.share).toBeCloseTo(0.05, 12);
    usage.sampled({ cacheUsage: 0.9, running: 6, waiting: 2 }, 5_000, 0);
    expect(usage.share).toBeWithin(0.051, 0.149);
  });

  test.each([
    { cacheUsage: 0.4, running: 0, waiting: 0 },
    { cacheUsage: 0, running: 4, waiting: 0 },
    { cacheUsage: null, running: 4, waiting: 0 },
    { cacheUsage: 0.4, running: null, waiting: 0 },
  ])("is not learned from an idle engine, nor from half a sample: %j", (sample) => {
    const usage = new CacheUsage();
    usage.sampled(sample, 0, 0);
    expect(usage.share).toBe(DEFAULT_CACHE_SHARE);
  });

  test("is kept when the engine is another process, unlike its sample", () => {
    const usage = new CacheUsage();
    usage.sampled({ cacheUsage: 0.4, running: 8, waiting: 2 }, 0, 0);
    usage.forget();
    expect({ sample: usage.sample, expected: usage.expected(1, MAX_AGE_MS) }).toEqual({
      sample: null,
      expected: null,
    });
    expect(usage.share).toBeCloseTo(0.05, 12);
  });
});

test("whatever is sent, ends and is sampled: never below the sample, nor above it and all that was sent", () => {
  const anyStep = fc.record({
    afterMs: fc.constantFrom(0, 10, 1_000, 4_000),
    what: fc.constantFrom("start", "start", "end", "sample", "forget"),
    which: fc.nat(20),
    cacheUsage: fc.oneof(fc.constant(0), fc.double({ min: 1e-9, max: 1, noNaN: true })),
    running: fc.nat(50),
  });
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 100, size: "max" }), (steps) => {
      const usage = new CacheUsage();
      const open: number[] = [];
      let nowMs = 0;
      let sent = 0;
      for (const { afterMs, what, which, cacheUsage, running } of steps) {
        nowMs += afterMs;
        if (what === "start") {
          usage.started();
          open.push(nowMs);
          sent += 1;
        } else if (what === "end") {
          const [startedAtMs] = open.splice(which % Math.max(open.length, 1), 1);
          if (startedAtMs !== undefined) usage.ended(startedAtMs, nowMs);
        } else if (what === "sample") {
          usage.sampled(
            { cacheUsage, running, waiting: 0 },
            nowMs,
            open.filter((atMs) => atMs >= nowMs).length,
          );
        } else usage.forget();
        expect(usage.share).toBeWithin(Number.MIN_VALUE, 1 + Number.EPSILON);
        const expected = usage.expected(nowMs, MAX_AGE_MS);
        const least = usage.sample?.cacheUsage ?? 0;
        if (expected !== null) {
          expect(expected).toBeGreaterThanOrEqual(least - 1e-9);
          expect(expected).toBeLessThanOrEqual(least + sent * usage.share + 1e-9);
        }
      }
    }),
    runs(300),
  );
});
