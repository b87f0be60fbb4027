import { expect, test } from "bun:test";
import fc from "fast-check";
import { ENDING_BYTES, Ending, TORN_BYTES } from "../../src/core/ending.ts";

/** What an `Ending` has kept of `text` when it came in pieces of these lengths, over and over. */
function kept(text: Buffer, lengths: readonly number[]): Ending {
  const ending = new Ending(true);
  let at = 0;
  for (let turn = 0; at < text.length; turn += 1) {
    const length = lengths[turn % lengths.length] ?? 1;
    ending.push(text.subarray(at, at + length));
    at += length;
  }
  return ending;
}

test.each([
  ["however that is cut", { max: 3 * ENDING_BYTES, maxLength: 8 }],
  ["also in hundreds of pieces", { max: 400, maxLength: 300 }],
])("without events it keeps the last bytes of a stream, %s", (_, { max, maxLength }) => {
  const lengths = fc.array(fc.integer({ min: 0, max }), { maxLength, size: "max" });
  fc.assert(
    fc.property(lengths, (pieces) => {
      const ending = new Ending(false);
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

const event = fc
  .tuple(
    fc.oneof(fc.integer({ min: 0, max: 400 }), fc.integer({ min: 0, max: 30_000 })),
    fc.constantFrom("\n\n", "\r\n\r\n", "\n\r\n", "\r\r"),
  )
  .map(([length, end]) => `data: ${"x".repeat(length)}${end}`);

test("of events it keeps the last three, or the last 8 KiB where they are longer, however they are cut", () => {
  const lengths = fc.array(fc.integer({ min: 1, max: 20_000 }), { minLength: 1, maxLength: 20 });
  const list = fc.array(event, { minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(list, fc.integer({ min: 0, max: 40 }), lengths, (events, cut, lengths) => {
      const whole = events.join("");
      const text = Buffer.from(whole.slice(0, whole.length - cut));
      const ending = kept(text, lengths);
      const { bytes } = ending;
      const least = Math.min(ENDING_BYTES, events.slice(-3).join("").length - cut);
      expect(bytes.length).toBeGreaterThanOrEqual(least);
      const from = text.length - bytes.length;
      expect(Buffer.compare(bytes, text.subarray(from))).toBe(0);
      // And how the one begins that goes on there.
      let start = 0;
      for (const { length } of events) {
        if (start + length > from) break;
        start += length;
      }
      const opening = text.subarray(start, Math.min(from, start + TORN_BYTES));
      expect(Buffer.concat([opening, bytes]).toString()).toBe(
        Buffer.from(ending.events).toString(),
      );
    }),
    { numRuns: 500 },
  );
}, 30_000);

test("a stream of short events takes little, however long it is", () => {
  const ending = new Ending(true);
  const piece = Buffer.from(`data: {"choices":[{"delta":{"content":"${"x".repeat(200)}"}}]}\n\n`);
  for (let count = 0; count < 10_000; count += 1) ending.push(piece);
  expect(ending.bytes.buffer.byteLength).toBeLessThanOrEqual(2 * 1024);
});

test("pieces that fill it to the byte", () => {
  const ending = new Ending(false);
  ending.push(new Uint8Array(ENDING_BYTES).fill(1));
  ending.push(new Uint8Array(1).fill(2));
  expect(ending.bytes.length).toBeGreaterThanOrEqual(ENDING_BYTES);
  expect(ending.bytes.at(-1)).toBe(2);
  expect(ending.bytes.at(-2)).toBe(1);
});
