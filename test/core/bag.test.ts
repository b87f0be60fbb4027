import { expect, test } from "bun:test";
import fc from "fast-check";
import { Bag } from "../../src/core/bag.ts";

interface Item {
  readonly name: number;
  place: number;
}

const items = (count: number): Item[] =>
  Array.from({ length: count }, (_, name) => ({ name, place: -1 }));

function namesIn(bag: Bag<Item>): number[] {
  return [...bag].map(({ name }) => name).sort((a, b) => a - b);
}

test("a bag holds what a set would, whatever is added and deleted", () => {
  const steps = fc.array(fc.tuple(fc.boolean(), fc.nat(9)), { maxLength: 60 });
  fc.assert(
    fc.property(steps, (changes) => {
      const all = items(10);
      const bag = new Bag<Item>();
      const wanted = new Set<number>();
      for (const [adds, which] of changes) {
        const item = all[which];
        if (item === undefined) continue;
        if (adds && !wanted.has(which)) bag.add(item);
        if (!adds) bag.delete(item);
        if (adds) wanted.add(which);
        else wanted.delete(which);
        expect(bag.size).toBe(wanted.size);
      }
      expect(namesIn(bag)).toEqual([...wanted].sort((a, b) => a - b));
    }),
  );
});

test("each is visited once while others are deleted, and those deleted before their turn are not", () => {
  const all = items(6);
  const bag = new Bag<Item>();
  for (const item of all) bag.add(item);
  const seen: number[] = [];
  for (const item of bag) {
    seen.push(item.name);
    // Itself and its neighbour.
    bag.delete(item);
    const next = all[item.name + 1];
    if (next !== undefined) bag.delete(next);
  }
  expect(seen).toEqual([0, 2, 4]);
  expect(bag.size).toBe(0);
});
