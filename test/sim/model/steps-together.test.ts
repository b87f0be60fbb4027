/** Steps that are taken together end when they would have ended one by one. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { EngineModel } from "../../../src/sim/model/engine-model.ts";
import { runs } from "../../core/fuzz.ts";

const anyWork = fc.record({
  requests: fc.array(
    fc.record({
      afterMs: fc.double({ min: 0, max: 400, noNaN: true }),
      promptTokens: fc.integer({ min: 1, max: 3_000 }),
      answerTokens: fc.integer({ min: 1, max: 60 }),
      prefix: fc.integer({ min: 0, max: 3 }),
      cancel: fc.boolean(),
    }),
    { minLength: 1, maxLength: 25 },
  ),
  totalBlocks: fc.integer({ min: 50, max: 300 }),
  slowerAfter: fc.integer({ min: 0, max: 25 }),
});

type Work = typeof anyWork extends fc.Arbitrary<infer W> ? W : never;

/** When each request had its first token and its end, ms; what the engine counts in the end. */
function play({ requests, totalBlocks, slowerAfter }: Work, everyToken: boolean) {
  const model = new EngineModel({ totalBlocks, maxBatchSize: 6 }, everyToken);
  const happened: [what: string, atMs: number][] = [];
  const hear = (toMs: number) => {
    for (const event of model.advance(toMs)) {
      if (event.kind === "token" && event.index > 1) continue;
      happened.push([`${event.kind} ${event.id}`, event.atMs]);
    }
  };
  let nowMs = 0;
  requests.forEach(({ afterMs, promptTokens, answerTokens, prefix, cancel }, i) => {
    nowMs += afterMs;
    hear(nowMs);
    const blockHashes = Array.from({ length: promptTokens >> 6 }, (_, j) => prefix * 1_000 + j);
    model.submit({ id: String(i), promptTokens, answerTokens, blockHashes }, nowMs);
    if (cancel) model.cancel(String(i >> 1), nowMs);
    if (i === slowerAfter) model.changeSpeed({ ...model.params, stepBaseMs: 30 }, nowMs);
  });
  hear(nowMs + 1e6);
  expect(model.nextEventMs()).toBeNull();
  return { happened, stats: model.stats() };
}

test("whatever is asked of the engine", () => {
  fc.assert(
    fc.property(anyWork, (work) => {
      const one = play(work, true);
      const together = play(work, false);
      expect(together.stats).toEqual(one.stats);
      expect(together.happened.map(([what]) => what)).toEqual(one.happened.map(([what]) => what));
      together.happened.forEach(([, atMs], i) => {
        expect(atMs).toBeCloseTo(one.happened[i]?.[1] ?? Number.NaN, 4);
      });
    }),
    runs(150),
  );
});
