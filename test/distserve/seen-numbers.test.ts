import { expect, test } from "bun:test";
import fc from "fast-check";
import { SeenNumbers } from "../../src/distserve/seen-numbers.ts";

test("it knows exactly what it has seen", () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 60 }), { maxLength: 120 }), (numbers) => {
      const seen = new SeenNumbers();
      const all = new Set<number>();
      for (const number of numbers) {
        expect(seen.add(number)).toBe(!all.has(number));
        all.add(number);
      }
    }),
  );
});

test("a counter that others use too is forgotten in the middle, not where it began or stands", () => {
  const seen = new SeenNumbers();
  for (let number = 0; number < 100_000; number += 2) expect(seen.add(number)).toBe(true);
  expect([0, 2, 600].map((number) => seen.add(number))).toEqual([false, false, false]);
  expect([99_998, 99_500].map((number) => seen.add(number))).toEqual([false, false]);
});

test("a million numbers of one engine, slightly out of order, take no time", () => {
  const seen = new SeenNumbers();
  for (let i = 0; i < 1_000_000; i += 1) expect(seen.add(i ^ 3)).toBe(true);
  expect(seen.add(123_456)).toBe(false);
});
