import { expect, test } from "bun:test";
import fc from "fast-check";
import { Histogram } from "../../bench/histogram.ts";

const values = fc.array(
  fc.oneof(fc.nat({ max: 300 }), fc.nat({ max: 1_000_000 }), fc.nat({ max: 2 ** 31 - 1 })),
  { minLength: 1, maxLength: 300 },
);
const share = fc.double({ min: 0, max: 1, noNaN: true });

function filled(numbers: readonly number[]): Histogram {
  const histogram = new Histogram();
  for (const number of numbers) histogram.record(number);
  return histogram;
}

test("a quantile is never below the exact one and at most 1/128 above it", () => {
  fc.assert(
    fc.property(values, share, (numbers, part) => {
      const sorted = numbers.toSorted((a, b) => a - b);
      const exact = sorted[Math.max(1, Math.ceil(part * sorted.length)) - 1] ?? Number.NaN;
      const found = filled(numbers).quantile(part);
      expect(found).toBeGreaterThanOrEqual(exact);
      expect(found).toBeLessThanOrEqual(exact + exact / 128);
    }),
  );
});

test("merging what two histograms wrote gives the counts and quantiles of all values", () => {
  fc.assert(
    fc.property(values, values, share, (some, others, part) => {
      const merged = new Histogram().merge(filled(some).sparse()).merge(filled(others).sparse());
      const all = filled([...some, ...others]);
      expect(merged.sparse()).toEqual(all.sparse());
      expect(merged.count).toBe(all.count);
      const exact = all.quantile(part);
      expect(merged.quantile(part)).toBeGreaterThanOrEqual(exact);
      expect(merged.quantile(part)).toBeLessThanOrEqual(exact + exact / 128 + 1);
    }),
  );
});

test("nothing recorded has no quantile", () => {
  expect(new Histogram().quantile(0.5)).toBeNaN();
});

test("values out of range land in the first and last bucket instead of getting lost", () => {
  const histogram = filled([-5, 1e12]);
  expect(histogram.count).toBe(2);
  expect(histogram.quantile(0)).toBe(0);
  expect(histogram.quantile(1)).toBe(2 ** 31 - 1);
});
