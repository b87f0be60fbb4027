import { expect, test } from "bun:test";
import fc from "fast-check";
import { ByteRing } from "../../src/observe/byte-ring.ts";
import { runs } from "../core/fuzz.ts";

/** Of so many bytes, all of them `mark`. */
function record(length: number, mark: number): Uint8Array {
  return new Uint8Array(length).fill(mark);
}

function textIn(view: DataView, at: number, length: number): string {
  return [...new Uint8Array(view.buffer, at, length)].join();
}

test("keeps the last, whole and in order, and tells of each that leaves", () => {
  const records = fc.array(fc.integer({ min: 0, max: 70 }), { maxLength: 200 });
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 200 }), records, (size, lengths) => {
      const ring = new ByteRing(size);
      const came: string[] = [];
      const left: string[] = [];
      for (const [mark, length] of lengths.entries()) {
        ring.append(record(length, mark), length, (view, at, long) =>
          left.push(textIn(view, at, long)),
        );
        if (4 + length <= size) came.push(record(length, mark).join());
        const kept: string[] = [];
        ring.each((view, at, long) => kept.push(textIn(view, at, long)));
        expect([...left, ...kept]).toEqual(came);
        expect(ring.bytes).toBeLessThanOrEqual(size);
        // The last that fits is always there.
        if (came.length > 0) expect(kept.length).toBeGreaterThan(0);
      }
    }),
    runs(200),
  );
});
