import { expect, test } from "bun:test";
import fc from "fast-check";
import { ENDING_BYTES, Ending } from "../../src/core/ending.ts";

/** What an `Ending` has kept of `text` when it came in pieces of these lengths, over and over. */
function kept(text: Buffer, lengths: readonly number[]): Buffer {
  const ending = new Ending();
  let at = 0;
  for (let turn = 0; at < text.length; turn += 1) {
    const length = lengths[turn % lengths.length] ?? 1;
    ending.push(text.subarray(at, at + length));
    at += length;
  }
  return Buffer.from(ending.bytes);
}

test.each([
  ["however that is cut", { max: 3 * ENDING_BYTES, maxLength: 8 }],
  ["also in hundreds of pieces", { max: 400, maxLength: 300 }],
])("without events it keeps the last bytes of a stream, %s", (_, { max, maxLength }) => {
  const lengths = fc.array(fc.integer({ min: 0, max }), { maxLength, size: "max" });
  fc.assert(
    fc.property(lengths, (pieces) => {
      const ending = new Ending();
      const all: Buffer[] = [];
      for (const [at, length] of pieces.entries()) {
        const piece = Buffer.from(Array.from({ length }, (_, i) => 32 + ((7 * at + i) % 200)));
        all.push(piece);
        ending.push(piece);
      }
      const expected = Buffer.concat(all);
      const { bytes } = ending;
      expect(bytes.length).toBeGreaterThanOrEqual(Math.min(expected.length, ENDING_BYTES));
      expect(Buffer.compare(bytes, expected.subarray(expected.length - bytes.length))).toBe(0);
    }),
    { numRuns: 60 },
  );
});

test("of events it keeps the last three, or the last 8 KiB where they are longer, however they are cut", () => {
  const event = fc
    .tuple(fc.integer({ min: 0, max: 6_000 }), fc.constantFrom("\n\n", "\r\n\r\n", "\n\r\n"))
    .map(([length, end]) => `data: ${"x".repeat(length)}${end}`);
  const events = fc.array(event, { minLength: 1, maxLength: 40 });
  const lengths = fc.array(fc.integer({ min: 1, max: 10_000 }), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(events, lengths, (events, lengths) => {
      const text = Buffer.from(events.join(""));
      const bytes = kept(text, lengths);
      const least = Math.min(ENDING_BYTES, events.slice(-3).join("").length);
      expect(bytes.length).toBeGreaterThanOrEqual(least);
      expect(Buffer.compare(bytes, text.subarray(text.length - bytes.length))).toBe(0);
    }),
    { numRuns: 200 },
  );
});

test("a stream of short events takes little, however long it is", () => {
  const ending = new Ending();
  const piece = Buffer.from(`data: {"choices":[{"delta":{"content":"${"x".repeat(200)}"}}]}\n\n`);
  for (let count = 0; count < 10_000; count += 1) ending.push(piece);
  expect(ending.bytes.buffer.byteLength).toBeLessThanOrEqual(2 * 1024);
});

test("pieces that fill it to the byte", () => {
  const ending = new Ending();
  ending.push(new Uint8Array(ENDING_BYTES).fill(1));
  ending.push(new Uint8Array(1).fill(2));
  expect(ending.bytes.length).toBeGreaterThanOrEqual(ENDING_BYTES);
  expect(ending.bytes.at(-1)).toBe(2);
  expect(ending.bytes.at(-2)).toBe(1);
});
