import { expect, test } from "bun:test";
import fc from "fast-check";
import { ENDING_BYTES, Ending } from "../../src/core/ending.ts";

test.each([
  ["however that is cut", { max: 3 * ENDING_BYTES, maxLength: 8 }],
  ["also in hundreds of pieces", { max: 400, maxLength: 300 }],
])("it keeps the last bytes of a stream, %s", (_, { max, maxLength }) => {
  const lengths = fc.array(fc.integer({ min: 0, max }), { maxLength, size: "max" });
  fc.assert(
    fc.property(lengths, (pieces) => {
      const ending = new Ending();
      const all: Buffer[] = [];
      for (const [at, length] of pieces.entries()) {
        const piece = Buffer.from(Array.from({ length }, (_, i) => (7 * at + i) % 251));
        all.push(piece);
        ending.push(piece);
      }
      const expected = Buffer.concat(all).subarray(-ENDING_BYTES);
      expect(Buffer.compare(ending.bytes, expected)).toBe(0);
    }),
    { numRuns: 60 },
  );
});

test("pieces that fill it to the byte", () => {
  const ending = new Ending();
  ending.push(new Uint8Array(ENDING_BYTES).fill(1));
  ending.push(new Uint8Array(1).fill(2));
  expect(ending.bytes.length).toBe(ENDING_BYTES);
  expect(ending.bytes.at(-1)).toBe(2);
  expect(ending.bytes.at(-2)).toBe(1);
});
