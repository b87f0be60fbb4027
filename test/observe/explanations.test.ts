import { expect, test } from "bun:test";
import fc from "fast-check";
import { COMPLETE, Exchanges } from "../../src/core/exchange.ts";
import { Explanations } from "../../src/observe/explanations.ts";
import { runs } from "../core/fuzz.ts";

function shelf(mostBytes: number) {
  let nowMs = 0;
  const now = () => nowMs;
  const exchanges = new Exchanges({ now, report: () => {} });
  const explanations = new Explanations({ mostBytes, now, wallMs: now });
  exchanges.subscribe(explanations.ended);
  const request = new Request("http://x/");
  return {
    explanations,
    /** One that took so long, and went well or not. */
    end(id: string, tookMs: number, failed = false, model = "m") {
      const exchange = exchanges.begin(id, request, "/v1/x");
      exchange.model = model;
      nowMs += tookMs;
      exchange.head(failed ? 502 : 200);
      exchange.end(failed ? { how: "refused", error: "upstream_error" } : COMPLETE);
    },
  };
}

test("takes no more than it may, whatever comes", () => {
  const one = fc.record({
    tookMs: fc.integer({ min: 0, max: 10_000_000 }),
    failed: fc.boolean(),
    model: fc.string({ maxLength: 2_000, unit: "grapheme" }),
  });
  fc.assert(
    fc.property(fc.array(one, { maxLength: 300 }), (many) => {
      const { explanations, end } = shelf(20_000);
      for (const { tookMs, failed, model } of many) {
        end("x", tookMs, failed, model);
        expect(explanations.bytes).toBeWithin(0, 20_001);
      }
      const kept = explanations.of("x");
      expect(explanations.bytes).toBeGreaterThanOrEqual(kept.length * 100);
    }),
    runs(50),
  );
});

test("failures and the slowest stay when others are long gone, the slow ones for an hour", () => {
  const { explanations, end } = shelf(100_000);
  end("failed", 10, true);
  end("slow", 60_000);
  end("quick", 10);
  for (let at = 0; at < 2_000; at += 1) end(`later-${at}`, 1 + (at % 50));
  expect(explanations.of("failed")).toMatchObject([{ status: 502, error: "upstream_error" }]);
  expect(explanations.of("slow")).toMatchObject([{ total_ms: 60_000 }]);
  expect(explanations.of("quick")).toEqual([]);
  expect(explanations.of("later-1999")).toHaveLength(1);
  for (let at = 0; at < 400; at += 1) end("much later", 10_000);
  expect(explanations.of("slow")).toEqual([]);
});
