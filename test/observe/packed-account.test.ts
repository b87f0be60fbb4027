import { expect, test } from "bun:test";
import fc from "fast-check";
import { WHYS } from "../../src/core/choice.ts";
import {
  isAccountOf,
  packAccount,
  peekAccount,
  unpackAccount,
} from "../../src/observe/packed-account.ts";
import { LONGEST_TEXT, Reader, Writer } from "../../src/observe/packing.ts";
import { runs } from "../core/fuzz.ts";

const figure = fc.double({ noNaN: true });
const figureOrNull = fc.option(figure);
const text = fc.string({ maxLength: 300, unit: "grapheme" });
const textOrNull = fc.option(text);
const word = fc.constantFrom("min_expected_latency", "ok", "broken", "/v1/chat/completions");
const node = { url: text, name: textOrNull };
const weighed = fc.record({
  node: fc.record(node),
  score: figureOrNull,
  sampleAgeMs: figureOrNull,
  seen: fc.dictionary(
    fc.constantFrom("inFlight", "speed", "waiting", "kvCacheUsage"),
    figureOrNull,
  ),
});
const choice = fc.record({
  why: fc.constantFrom(...WHYS),
  strategy: fc.option(word),
  candidates: figure,
  lastResort: fc.boolean(),
  best: fc
    .tuple(weighed, fc.array(weighed, { maxLength: 2 }))
    .map(([first, others]) => [first, ...others] as const),
});
const account = fc.record({
  id: text,
  phase: fc.constant(null),
  beganAtMs: figure,
  client: textOrNull,
  method: text,
  path: word,
  model: textOrNull,
  stream: fc.boolean(),
  status: figureOrNull,
  outcome: fc.option(word),
  error: fc.option(word),
  admittedMs: figureOrNull,
  firstByteMs: figureOrNull,
  totalMs: figure,
  longestGapMs: figure,
  bytesIn: figure,
  bytesOut: figure,
  pieces: figure,
  usage: fc.option(
    fc.record({
      promptTokens: figureOrNull,
      outputTokens: figureOrNull,
      cachedTokens: figureOrNull,
    }),
  ),
  tries: fc.array(
    fc.record({
      ...node,
      sentMs: figure,
      firstByteMs: figureOrNull,
      outcome: fc.option(word),
      status: figureOrNull,
      detail: textOrNull,
      choice: fc.option(choice),
    }),
    { maxLength: 5 },
  ),
});

test("what was packed comes out as it was", () => {
  const writer = new Writer();
  fc.assert(
    fc.property(account, fc.boolean(), figure, (given, failed, endedAtMs) => {
      packAccount(writer, given, failed, endedAtMs);
      const view = new DataView(writer.bytes.slice(0, writer.length).buffer);
      expect(unpackAccount(new Reader(view, 0, writer.words))).toEqual({ ...given });
      const { id, totalMs } = given;
      const reader = () => new Reader(view, 0, writer.words);
      expect(peekAccount(reader())).toEqual({ failed, totalMs, endedAtMs });
      expect(isAccountOf(reader(), id)).toBe(true);
      expect(isAccountOf(reader(), `${id}.`)).toBe(false);
    }),
    runs(200),
  );
});

test("texts of any length and any number of attempts have room", () => {
  const writer = new Writer();
  const long = "ü€".repeat(5_000);
  const [shape] = fc.sample(account, { numRuns: 1, seed: 1 });
  if (shape === undefined) throw new Error("no account");
  const one = {
    url: long,
    name: long,
    sentMs: 1,
    firstByteMs: null,
    outcome: "ok",
    status: null,
    detail: long,
    choice: null,
  };
  const given = { ...shape, id: long, model: long, client: long, tries: Array(40).fill(one) };
  packAccount(writer, given, false, 1);
  const view = new DataView(writer.bytes.slice(0, writer.length).buffer);
  const unpacked = unpackAccount(new Reader(view, 0, writer.words));
  const cut = long.slice(0, LONGEST_TEXT);
  expect(unpacked.id).toBe(cut);
  expect(unpacked.tries).toHaveLength(40);
  expect(unpacked.tries.at(-1)?.detail).toBe(cut);
});
