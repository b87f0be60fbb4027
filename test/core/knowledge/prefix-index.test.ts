import { expect, test } from "bun:test";
import fc from "fast-check";
import { BlockUses, PrefixIndex } from "../../../src/core/knowledge/prefix-index.ts";
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
      index.walk(asked, depths, new BlockUses());
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
    index.walk([i], depths, new BlockUses());
    if (depths[0] === 1) {
      kept += 1;
      expect(i).toBeGreaterThan(9_900);
    }
  }
  expect(kept).toBe(64);
});

test("what it was told before it grew is still there", () => {
  const index = new PrefixIndex(2 ** 18);
  const depths = new Uint16Array(SLOTS + 1);
  const uses = new BlockUses();
  const prompts = Array.from({ length: 700 }, (_, prompt) =>
    Array.from({ length: 40 }, (_, block) => Bun.hash.xxHash32(`${prompt} ${block}`)),
  );
  index.reserve(SLOTS);
  prompts.forEach((blocks, at) => {
    index.add(at % SLOTS, blocks, at * 10);
    index.add(SLOTS, blocks.slice(0, 10), at * 10 + 10);
  });
  prompts.forEach((blocks, at) => {
    index.walk(blocks, depths, uses);
    expect(depths[at % SLOTS]).toBe(40);
    expect(depths[SLOTS]).toBe(10);
    expect(uses.length).toBe(40);
    expect(uses.usedAtMs(0, SLOTS)).toBe(at * 10 + 20);
    expect(uses.usedAtMs(0, null)).toBe(at * 10 + 10);
    expect(uses.slot(39)).toBe(at % SLOTS);
  });
});
