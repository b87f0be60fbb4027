import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { EngineModel } from "../../../src/sim/model/engine-model.ts";
import { DEFAULT_ENGINE_PARAMS, stepTimeMs } from "../../../src/sim/model/engine-params.ts";
import type { ModelEvent } from "../../../src/sim/model/model-types.ts";

/** Lets everything that is under way end, and returns what happened. */
function runToEnd(model: EngineModel): readonly ModelEvent[] {
  const events: ModelEvent[] = [];
  for (let next = model.nextEventMs(); next !== null; next = model.nextEventMs()) {
    events.push(...model.advance(next));
  }
  events.push(...model.advance(model.nowMs));
  return events;
}

function finishedAt(events: readonly ModelEvent[], id: string): number {
  const event = events.find((one) => one.kind === "finished" && one.id === id);
  if (event === undefined) throw new Error(`${id} did not finish`);
  return event.atMs;
}

const commands = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant("submit" as const),
      promptTokens: fc.integer({ min: 1, max: 700 }),
      answerTokens: fc.integer({ min: 1, max: 200 }),
      prefix: fc.integer({ min: 0, max: 3 }),
      migrated: fc.boolean(),
      preserve: fc.boolean(),
    }),
    fc.record({ kind: fc.constant("cancel" as const), which: fc.nat(50) }),
    fc.record({
      kind: fc.constant("wait" as const),
      ms: fc.double({ min: 0, max: 200, noNaN: true }),
    }),
    fc.record({ kind: fc.constant("release" as const), which: fc.nat(50) }),
  ),
  { maxLength: 60 },
);

/** A cache of 20 blocks, so that admission waits and sequences are preempted. */
const SMALL = { totalBlocks: 20, maxBatchSize: 8, maxStepTokens: 128 };

describe("whatever is submitted, cancelled and released, in whatever order", () => {
  test("usage stays in 0..1, every request ends once and no block is left behind", () => {
    let preemptions = 0;
    fc.assert(
      fc.property(commands, (list) => {
        const model = new EngineModel(SMALL);
        const open = new Set<string>();
        const events: ModelEvent[] = [];
        let nowMs = 0;
        list.forEach((command, i) => {
          const id =
            command.kind === "submit" ? `r${i}` : `r${"which" in command ? command.which : 0}`;
          if (command.kind === "wait") nowMs += command.ms;
          else if (command.kind === "cancel") {
            events.push(...model.advance(nowMs));
            for (const event of events) if (event.kind === "finished") open.delete(event.id);
            expect(model.cancel(id, nowMs)).toBe(open.delete(id));
          } else if (command.kind === "release") model.releasePreserved(id, nowMs);
          else {
            const blocks = Math.floor(command.promptTokens / 64);
            const blockHashes = Array.from({ length: blocks }, (_, n) => command.prefix * 100 + n);
            const isTaken = model.submit({ ...command, id, blockHashes }, nowMs);
            expect(isTaken).toBe(model.fits(command.promptTokens, command.answerTokens));
            if (isTaken) open.add(id);
          }
          events.push(...model.advance(nowMs));
          const { usage, usedBlocks, cachedBlocks } = model.stats();
          expect(usage).toBeGreaterThanOrEqual(0);
          expect(usage).toBeLessThanOrEqual(1);
          expect(usedBlocks + cachedBlocks).toBeLessThanOrEqual(20);
        });
        // Preserved blocks may hold up those who wait: with them gone, everybody ends.
        for (let round = 0; round <= list.length; round += 1) {
          events.push(...runToEnd(model));
          list.forEach((_, i) => {
            model.releasePreserved(`r${i}`, model.nowMs);
          });
        }
        for (const event of events) if (event.kind === "finished") open.delete(event.id);
        expect([...open]).toEqual([]);
        const { running, waiting, usedBlocks, preservedRequests } = model.stats();
        expect({ running, waiting, usedBlocks, preservedRequests }).toEqual({
          running: 0,
          waiting: 0,
          usedBlocks: 0,
          preservedRequests: 0,
        });
        preemptions += model.stats().preemptions;
      }),
      { numRuns: 300, seed: 7 },
    );
    expect(preemptions).toBeGreaterThan(0);
  });

  test("tokens come in order, all of them, before the request is finished", () => {
    const request = fc.record({
      promptTokens: fc.integer({ min: 1, max: 500 }),
      answerTokens: fc.integer({ min: 1, max: 120 }),
    });
    fc.assert(
      fc.property(fc.array(request, { minLength: 1, maxLength: 20 }), (requests) => {
        const model = new EngineModel(SMALL);
        requests.forEach((one, i) => {
          model.submit({ ...one, id: String(i) }, i);
        });
        const events = runToEnd(model);
        requests.forEach((one, i) => {
          const mine = events.filter((event) => event.id === String(i));
          expect(mine.map((event) => (event.kind === "token" ? event.index : "finished"))).toEqual([
            ...Array.from({ length: one.answerTokens }, (_, n) => n + 1),
            "finished",
          ]);
        });
        for (const [i, event] of events.entries()) {
          expect(event.atMs).toBeGreaterThanOrEqual(events[i - 1]?.atMs ?? 0);
        }
      }),
      { numRuns: 100, seed: 7 },
    );
  });
});

describe("time", () => {
  test("a step takes longer with more sequences, more context and longer chunks", () => {
    const load = { sequences: 8, contextTokens: 8_000, chunkTokens: 512 };
    const base = stepTimeMs(DEFAULT_ENGINE_PARAMS, load);
    expect(stepTimeMs(DEFAULT_ENGINE_PARAMS, { ...load, sequences: 9 })).toBeGreaterThan(base);
    expect(stepTimeMs(DEFAULT_ENGINE_PARAMS, { ...load, contextTokens: 9_000 })).toBeGreaterThan(
      base,
    );
    expect(stepTimeMs(DEFAULT_ENGINE_PARAMS, { ...load, chunkTokens: 2_048 })).toBeGreaterThan(
      base,
    );
  });

  test("the same request takes longer in company, but less than one after the other", () => {
    const alone = new EngineModel();
    alone.submit({ id: "a", promptTokens: 1_000, answerTokens: 50 }, 0);
    const aloneMs = finishedAt(runToEnd(alone), "a");
    const shared = new EngineModel();
    for (let i = 0; i < 32; i += 1) {
      shared.submit({ id: String(i), promptTokens: 1_000, answerTokens: 50 }, 0);
    }
    const events = runToEnd(shared);
    const slowestMs = Math.max(
      ...Array.from({ length: 32 }, (_, i) => finishedAt(events, String(i))),
    );
    expect(slowestMs).toBeGreaterThan(aloneMs);
    expect(slowestMs).toBeLessThan(aloneMs * 16);
  });

  test("a long prompt is computed in chunks, beside which others go on decoding", () => {
    const model = new EngineModel();
    model.submit({ id: "short", promptTokens: 10, answerTokens: 40 }, 0);
    model.submit({ id: "long", promptTokens: 40_000, answerTokens: 1 }, 1);
    const events = runToEnd(model);
    const longMs = finishedAt(events, "long");
    const meanwhile = events.filter((event) => event.id === "short" && event.atMs < longMs);
    expect(meanwhile.length).toBeGreaterThan(10);
  });

  test("fetched blocks are waited for, then there is no prefill", () => {
    const model = new EngineModel();
    model.submit({ id: "a", promptTokens: 6_400, answerTokens: 1, migrated: true }, 0);
    const events = runToEnd(model);
    const { transferPerBlockMs, stepBaseMs } = model.params;
    expect(finishedAt(events, "a")).toBeGreaterThan(100 * transferPerBlockMs + stepBaseMs);
    expect(model.stats().computedPromptTokens).toBe(0);
  });
});

describe("the prefix cache", () => {
  const hashes = [1, 2, 3, 4];
  const request = { promptTokens: 4 * 64, answerTokens: 1, blockHashes: hashes };

  test("a second prompt that begins alike computes the rest only", () => {
    const model = new EngineModel();
    model.submit({ ...request, id: "first" }, 0);
    runToEnd(model);
    expect(model.stats()).toMatchObject({
      usedBlocks: 0,
      cachedBlocks: 4,
      computedPromptTokens: 256,
    });
    model.submit({ ...request, id: "second", blockHashes: [1, 2, 30, 40] }, model.nowMs);
    runToEnd(model);
    expect(model.stats()).toMatchObject({
      cachedPromptTokens: 128,
      computedPromptTokens: 256 + 128,
    });
  });

  test("a prompt that begins like one that is being computed waits for it, and computes the rest only", () => {
    const model = new EngineModel({ maxStepTokens: 2_048 });
    const blockHashes = Array.from({ length: 320 }, (_, i) => i);
    const prompt = { promptTokens: 20_480, answerTokens: 4, blockHashes };
    model.submit({ id: "first", ...prompt }, 0);
    model.submit({ id: "second", ...prompt }, 0);
    expect([model.isWaiting("first"), model.isWaiting("second")]).toEqual([false, true]);
    const told = runToEnd(model).find(({ kind, id }) => kind === "token" && id === "second");
    expect(told).toMatchObject({ cachedTokens: 20_479 });
    expect(model.stats().computedPromptTokens).toBeLessThan(20_480 + 64);
  });

  test("sharing sequences count a block once", () => {
    const model = new EngineModel();
    model.submit({ ...request, id: "first", answerTokens: 100 }, 0);
    model.advance(20);
    const alone = model.stats().usedBlocks;
    model.submit({ ...request, id: "second", answerTokens: 9 }, 20);
    model.advance(model.nextEventMs() ?? 0);
    expect(model.stats().running).toBe(2);
    expect(model.stats().usedBlocks).toBe(alone + 1);
  });

  test("what nobody refers to is counted as used by the gauge, and makes room, oldest first", () => {
    const model = new EngineModel({ totalBlocks: 10 });
    for (const [i, first] of [10, 20].entries()) {
      const blockHashes = [0, 1, 2, 3].map((n) => first + n);
      model.submit({ ...request, id: String(i), blockHashes }, model.nowMs);
      runToEnd(model);
    }
    expect(model.stats()).toMatchObject({ usage: 0.8, usageWithoutCached: 0 });
    model.submit({ id: "big", promptTokens: 5 * 64, answerTokens: 1 }, model.nowMs);
    runToEnd(model);
    model.submit({ ...request, id: "old", blockHashes: [10, 11, 12, 13] }, model.nowMs);
    runToEnd(model);
    expect(model.stats().cachedPromptTokens).toBe(0);
  });

  test("can be switched off", () => {
    const model = new EngineModel({ prefixCache: false });
    model.submit({ ...request, id: "first" }, 0);
    runToEnd(model);
    expect(model.stats()).toMatchObject({ usage: 0, cachedBlocks: 0 });
  });
});

describe("admission and leaving", () => {
  test("waits while the cache is full and goes on when somebody leaves", () => {
    const model = new EngineModel({ totalBlocks: 10 });
    model.submit({ id: "a", promptTokens: 8 * 64, answerTokens: 100 }, 0);
    model.submit({ id: "b", promptTokens: 8 * 64, answerTokens: 10 }, 0);
    expect(model.stats()).toMatchObject({ running: 1, waiting: 1 });
    expect(model.cancel("a", 1)).toBe(true);
    model.advance(model.nextEventMs() ?? 0);
    expect(model.stats()).toMatchObject({ running: 1, waiting: 0 });
    expect(runToEnd(model).some((event) => event.id === "a")).toBe(false);
  });

  test("refuses what it could never hold", () => {
    const model = new EngineModel({ totalBlocks: 10 });
    expect(model.submit({ id: "a", promptTokens: 601, answerTokens: 40 }, 0)).toBe(false);
    expect(model.submit({ id: "b", promptTokens: 600, answerTokens: 40 }, 0)).toBe(true);
    expect(model.nextEventMs()).not.toBeNull();
  });

  test("preserved blocks outlive their request until they are released", () => {
    const model = new EngineModel({ prefixCache: false });
    model.submit({ id: "7", promptTokens: 100, answerTokens: 1, preserve: true }, 0);
    runToEnd(model);
    expect(model.preservedBlocks("7")).toHaveLength(2);
    expect(model.stats()).toMatchObject({
      preservedRequests: 1,
      preservedBlocks: 2,
      usedBlocks: 2,
    });
    expect(model.releasePreserved("7", model.nowMs)).toBe(true);
    expect(model.releasePreserved("7", model.nowMs)).toBe(false);
    expect(model.stats()).toMatchObject({ preservedRequests: 0, usedBlocks: 0, usage: 0 });
  });

  test("time does not run backwards", () => {
    const model = new EngineModel();
    model.advance(10);
    expect(() => model.advance(9)).toThrow("backwards");
  });
});
