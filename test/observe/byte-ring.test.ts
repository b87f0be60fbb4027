import { expect, test } from "bun:test";
import fc from "fast-check";
import { ByteRing } from "../../src/observe/byte-ring.ts";
import { runs } from "../core/fuzz.ts";

/** Of so many bytes, all of them `mark`. */
function record(length: number, mark: number): Uint8Array {
  return new Uint8Array(length).fill(mark);
}

function hashIn(view: DataView, at: number, length: number): string {
  return `${length} ${Bun.hash(new Uint8Array(view.buffer, at, length))}`;
}

test.each([
  ["a small one", { least: 0, most: 200, longest: 70 }],
  ["one that grows", { least: 60_000, most: 300_000, longest: 20_000 }],
])(
  "%s keeps the last, whole and in order, and tells of each that leaves",
  (_, sizes) => {
    const records = fc.array(fc.integer({ min: 0, max: sizes.longest }), { maxLength: 200 });
    fc.assert(
      fc.property(fc.integer({ min: sizes.least, max: sizes.most }), records, (size, lengths) => {
        const ring = new ByteRing(size);
        const came: string[] = [];
        const left: string[] = [];
        for (const [mark, length] of lengths.entries()) {
          const bytes = record(length, mark);
          ring.append(bytes, length, (view, at, long) => left.push(hashIn(view, at, long)));
          if (4 + length <= size) came.push(`${length} ${Bun.hash(bytes)}`);
          const kept: string[] = [];
          ring.each((view, at, long) => kept.push(hashIn(view, at, long)));
          expect([...left, ...kept]).toEqual(came);
          expect(ring.bytes).toBeLessThanOrEqual(size);
          // The last that fits is always there.
          if (came.length > 0) expect(kept.length).toBeGreaterThan(0);
        }
      }),
      runs(100),
    );
  },
  30_000,
);
