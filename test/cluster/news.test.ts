/** What workers tell each other of prompts: all of it, in order, or that some was missed. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { type Hears, NewsRings, newsBytes } from "../../src/cluster/news-rings.ts";
import type { SentNews } from "../../src/core/knowledge/prompt-news.ts";
import { runs } from "../core/fuzz.ts";

const ROWS = 3;
const CLOCKS = { now: () => 5_000, wallMs: () => 1_800_000_000_123 };

function newRings(): NewsRings {
  return new NewsRings(new Uint8Array(newsBytes(ROWS)), ROWS);
}

/** Writes down all that it is told. */
function notes() {
  const heard: unknown[] = [];
  const hears: Hears = {
    sent: (prompt, atMs) => heard.push(["sent", prompt, atMs]),
    computed: (id, bytes, ms, atMs) => heard.push(["computed", id, bytes, ms, atMs]),
    ended: (id, isAnswered, atMs) => heard.push(["ended", id, isAnswered, atMs]),
    answered: (slot, latencyMs) => heard.push(["answered", slot, latencyMs]),
    missed: () => heard.push(["missed"]),
  };
  return { hears, take: () => heard.splice(0) };
}

const anyInt = fc.nat(2 ** 31 - 1);
const anyPrompt: fc.Arbitrary<SentNews> = fc.record({
  id: anyInt,
  slot: fc.nat(4_095),
  streams: fc.boolean(),
  bytes: anyInt,
  promptBytes: anyInt,
  pieces: fc.array(fc.record({ end: anyInt, usedAtMs: fc.integer({ min: -1e9, max: 5_000 }) }), {
    maxLength: 6,
  }),
  blocks: fc.array(fc.nat(2 ** 32 - 1), { maxLength: 400 }),
});
const anyAct = fc.oneof(
  anyPrompt.map((prompt) => ({ is: "sent" as const, prompt })),
  fc.record({
    is: fc.constant("computed" as const),
    id: anyInt,
    bytes: anyInt,
    ms: fc.nat(60_000),
  }),
  fc.record({ is: fc.constant("ended" as const), id: anyInt, isAnswered: fc.boolean() }),
  fc.record({ is: fc.constant("answered" as const), slot: fc.nat(4_095), ms: fc.nat(60_000) }),
  fc.constant({ is: "read" as const }),
);

test("whoever reads in time hears everything, as it was told", () => {
  fc.assert(
    // Long enough to go round.
    fc.property(fc.array(anyAct, { maxLength: 150 }), fc.nat(3), (acts, rounds) => {
      const rings = newRings();
      const writer = rings.writer(1, 77, CLOCKS);
      const reader = rings.reader(1, CLOCKS);
      const { hears, take } = notes();
      let told: unknown[] = [];
      for (let round = 0; round <= rounds * 10; round += 1) {
        for (const act of acts) {
          if (act.is === "sent") {
            writer.sent(act.prompt, 5_000);
            told.push(["sent", act.prompt, 5_000]);
          } else if (act.is === "computed") {
            writer.computed(act.id, act.bytes, act.ms);
            told.push(["computed", act.id, act.bytes, act.ms, 5_000]);
          } else if (act.is === "ended") {
            writer.ended(act.id, act.isAnswered);
            told.push(["ended", act.id, act.isAnswered, 5_000]);
          } else if (act.is === "answered") {
            writer.answered(act.slot, act.ms);
            told.push(["answered", act.slot, act.ms]);
          } else {
            reader.read(hears);
            expect(take()).toEqual(told);
            told = [];
          }
        }
        reader.read(hears);
        expect(take()).toEqual(told);
        told = [];
      }
    }),
    runs(100),
  );
});

test("whoever reads too late is told that something was missed, and hears what comes then", () => {
  const rings = newRings();
  const writer = rings.writer(0, 77, CLOCKS);
  const reader = rings.reader(0, CLOCKS);
  const { hears, take } = notes();
  for (const more of [30_000, 131_072, 500_000]) {
    for (let written = 0; written < more; written += 1) writer.ended(written, true);
    reader.read(hears);
    expect(take()).toEqual([["missed"]]);
    writer.ended(more, true);
    reader.read(hears);
    expect(take()).toEqual([["ended", more, true, 5_000]]);
  }
});

test("who has the row next, or that nobody has it, is noticed, and all that it told", () => {
  const rings = newRings();
  const reader = rings.reader(0, CLOCKS);
  const { hears, take } = notes();
  rings.writer(0, 77, CLOCKS).ended(1, true);
  reader.read(hears);
  expect(take()).toEqual([["missed"], ["ended", 1, true, 5_000]]);
  rings.clear(0);
  reader.read(hears);
  expect(take()).toEqual([["missed"]]);
  rings.writer(0, 78, CLOCKS).ended(2, false);
  reader.read(hears);
  expect(take()).toEqual([["missed"], ["ended", 2, false, 5_000]]);
});

test("whoever comes later hears nothing of before", () => {
  const rings = newRings();
  const writer = rings.writer(0, 77, CLOCKS);
  writer.ended(1, true);
  const reader = rings.reader(0, CLOCKS);
  const { hears, take } = notes();
  writer.ended(2, true);
  reader.read(hears);
  expect(take()).toEqual([["ended", 2, true, 5_000]]);
});

test("also a part of a ms is a length, and days are", () => {
  const rings = newRings();
  const writer = rings.writer(0, 77, CLOCKS);
  const reader = rings.reader(0, CLOCKS);
  const { hears, take } = notes();
  writer.answered(3, 0.75);
  writer.computed(1, 10, 0.75);
  writer.answered(3, 3 * 86_400_000);
  reader.read(hears);
  expect(take()).toEqual([
    ["answered", 3, 0.75],
    ["computed", 1, 10, 0.75, 5_000],
    ["answered", 3, (2 ** 31 - 1) / 16],
  ]);
});

test("what happened a while ago did so here, too", () => {
  const rings = newRings();
  let ms = 0;
  const later = { now: () => 5_000 + ms, wallMs: () => CLOCKS.wallMs() + ms };
  const writer = rings.writer(0, 77, CLOCKS);
  const reader = rings.reader(0, later);
  const { hears, take } = notes();
  writer.ended(1, true);
  ms = 250;
  reader.read(hears);
  expect(take()).toEqual([["ended", 1, true, 5_000]]);
});

test("nothing happened before all had been read, whatever was done to the wall clock since", () => {
  const rings = newRings();
  let [ms, setByMs] = [0, 0];
  const set = { now: () => 5_000 + ms, wallMs: () => CLOCKS.wallMs() + ms + setByMs };
  const writer = rings.writer(0, 77, set);
  const reader = rings.reader(0, set);
  const { hears, take } = notes();
  for (const stepMs of [3_600_000, -7_200_000, 3_600_000]) {
    const beforeMs = set.now();
    writer.ended(1, true);
    setByMs += stepMs;
    ms += 100;
    reader.read(hears);
    expect(take()).toEqual([["ended", 1, true, stepMs > 0 ? beforeMs : set.now()]]);
  }
});
