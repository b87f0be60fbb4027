import { expect, test } from "bun:test";
import fc from "fast-check";
import { LatencyRing } from "../../../src/core/pool/latency-ring.ts";
import { median } from "../../../src/observe/node-figures.ts";
import { runs } from "../fuzz.ts";

test("a node without history has no mean", () => {
  expect(new LatencyRing().meanMs).toBeNull();
  expect(new LatencyRing().medianMs).toBeNull();
  expect(new LatencyRing().toArray()).toEqual([]);
});

test("it holds the last 15, oldest first", () => {
  const ring = new LatencyRing();
  for (let i = 1; i <= 20; i += 1) ring.add(i * 100);
  expect(ring.toArray()).toEqual(Array.from({ length: 15 }, (_, i) => (i + 6) * 100));
  expect(ring.meanMs).toBe(1_300);
});

test("cleared, it starts anew", () => {
  const ring = new LatencyRing(3);
  for (const latencyMs of [50, 60, 70, 80]) ring.add(latencyMs);
  ring.clear();
  expect(ring.meanMs).toBeNull();
  ring.add(5);
  ring.add(7);
  expect(ring.toArray()).toEqual([5, 7]);
  expect(ring.meanMs).toBe(6);
});

test("whatever was added, it holds the last ones and their mean", () => {
  const latency = fc.oneof(fc.nat(5_000), fc.double({ min: 0, max: 1e9, noNaN: true }));
  fc.assert(
    fc.property(
      fc.array(latency, { maxLength: 200, size: "max" }),
      fc.integer({ min: 1, max: 20 }),
      (latencies, capacity) => {
        const ring = new LatencyRing(capacity);
        latencies.forEach((latencyMs, i) => {
          ring.add(latencyMs);
          const held = latencies.slice(Math.max(i + 1 - capacity, 0), i + 1);
          expect(ring.medianMs).toBe(median(held));
          const mean = held.reduce((sum, value) => sum + value, 0) / held.length;
          expect(ring.toArray()).toEqual(held);
          // Rounding, in proportion to what has passed through the sum since it was made anew.
          expect(Math.abs((ring.meanMs ?? Number.NaN) - mean)).toBeLessThan(1e-4);
        });
      },
    ),
    runs(100),
  );
});

test("its mean does not drift, however long it runs", () => {
  const ring = new LatencyRing();
  for (let i = 0; i < 300_000; i += 1) ring.add(i % 3 === 0 ? 1e8 + 0.1 : 0.1);
  for (let i = 0; i < 30; i += 1) ring.add(0.1);
  expect(Math.abs((ring.meanMs ?? 0) - 0.1)).toBeLessThan(1e-9);
});
