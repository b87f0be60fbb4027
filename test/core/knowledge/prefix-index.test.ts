import { expect, test } from "bun:test";
import fc from "fast-check";
import { PrefixIndex } from "../../../src/core/knowledge/prefix-index.ts";
import { runs } from "../fuzz.ts";

const SLOTS = 70;

const anyBlocks = fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 8 });
const anyAct = fc.oneof(
  { weight: 8, arbitrary: fc.record({ slot: fc.nat(SLOTS - 1), blocks: anyBlocks }) },
  fc.record({ slot: fc.nat(SLOTS - 1), blocks: fc.constant(null) }),
);

test("while there is room it says the same as a list of all that was sent", () => {
  fc.assert(
    fc.property(fc.array(anyAct, { maxLength: 60 }), anyBlocks, (acts, asked) => {
      const index = new PrefixIndex(1024);
      const sent = Array.from({ length: SLOTS }, () => new Set<number>());
      acts.forEach(({ slot, blocks }, i) => {
        index.reserve(slot);
        if (blocks === null) {
          index.forget(slot);
          sent[slot]?.clear();
        } else {
          index.add(slot, blocks, i * 10);
          for (const block of blocks) sent[slot]?.add(block);
        }
      });
      const depths = new Uint16Array(SLOTS);
      index.walk(asked, depths, []);
      sent.forEach((known, slot) => {
        const first = asked.findIndex((block) => !known.has(block));
        expect(depths[slot]).toBe(first < 0 ? asked.length : first);
      });
    }),
    runs(200),
  );
});

test("it never grows: what was used longest ago makes room", () => {
  const index = new PrefixIndex(64);
  const depths = new Uint16Array(32);
  for (let i = 1; i <= 10_000; i += 1) index.add(0, [i], i * 10);
  let kept = 0;
  for (let i = 1; i <= 10_000; i += 1) {
    index.walk([i], depths, []);
    if (depths[0] === 1) {
      kept += 1;
      expect(i).toBeGreaterThan(9_900);
    }
  }
  expect(kept).toBe(64);
});
