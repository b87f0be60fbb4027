import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { STRATEGIES } from "../../src/core/strategies/index.ts";
import {
  type Asked,
  type Candidate,
  NOTHING_ASKED,
  type Strategy,
} from "../../src/core/strategies/strategy.ts";
import { seededRandom } from "../../src/sim/model/seeded-random.ts";
import { runs } from "../core/fuzz.ts";
import { candidate, closedLoop, shares } from "../core/strategies/closed-loop.ts";

const amount = (max: number) => fc.double({ min: 0, max, noNaN: true });
const unknownOr = <T>(value: fc.Arbitrary<T>) => fc.option(value, { freq: 3 });

const anyCandidate: fc.Arbitrary<Candidate> = fc.record({
  load: fc.oneof(fc.integer({ min: 0, max: 5 }), amount(5_000)),
  speed: unknownOr(fc.oneof(fc.constant(1), fc.double({ min: 1e-3, max: 1e6, noNaN: true }))),
  meanLatencyMs: unknownOr(fc.oneof(fc.constant(0), amount(1e7))),
  cacheUsage: unknownOr(fc.oneof(fc.constant(0), amount(3))),
  cacheShare: fc.double({ min: 1e-6, max: 1, noNaN: true }),
  usagePerRequest: fc.oneof(fc.constant(0), fc.double({ min: 1e-6, max: 1, noNaN: true })),
  weight: fc.oneof(fc.constant(1), fc.double({ min: 0.1, max: 1, noNaN: true })),
  id: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  lastTurn: fc.nat(),
  cachedBytes: fc.oneof(fc.constant(0), amount(1e6)),
  queuedBytes: fc.oneof(fc.constant(0), amount(1e7)),
  home: fc.constantFrom(0, 1),
  sessions: fc.nat(),
  prefillBytesPerS: fc.oneof(fc.constant(1), fc.double({ min: 1e-3, max: 1e9, noNaN: true })),
  delayedPerS: fc.oneof(fc.constant(0), amount(1e3)),
});
const anyCandidates = fc.array(anyCandidate, { minLength: 1, maxLength: 12 });

const anyHash = fc.integer({ min: 0, max: 2 ** 53 - 1 });
const anyAsked: fc.Arbitrary<Asked> = fc
  .record({
    hashes: fc.array(anyHash, { maxLength: 20 }),
    blockBytes: fc.integer({ min: 1, max: 4_096 }),
    rest: fc.integer({ min: 0, max: 4_096 }),
    key: fc.option(anyHash),
    session: fc.option(fc.record({ id: anyHash, model: anyHash })),
    stream: fc.boolean(),
    client: fc.option(fc.string()),
    kept: fc.constantFrom("goesOn", "lookup", null),
  })
  .map(({ hashes, blockBytes, rest, ...asked }) => ({
    ...asked,
    promptBytes: hashes.length * blockBytes + rest,
    blocks: hashes,
    blockEnds: hashes.map((_, i) => (i + 1) * blockBytes),
  }));
const anySeed = fc.integer({ min: 0, max: 2 ** 32 - 1 });

/** As much as each strategy wants to know. */
const KNOWN = { speed: 1, meanLatencyMs: 800, cacheUsage: 0.1 };

/** How often each of `candidates` is chosen, as a multiple of an equal share. */
function drawShares(strategy: Strategy, candidates: readonly Candidate[], draws: number): number[] {
  const random = seededRandom(7);
  const counts = candidates.map(() => 0);
  for (let i = 0; i < draws; i += 1) {
    const chosen = candidates.indexOf(strategy(NOTHING_ASKED, candidates, random));
    counts[chosen] = (counts[chosen] ?? 0) + 1;
  }
  return shares(counts);
}

describe.each(Object.entries(STRATEGIES))("%s", (_name, strategy: Strategy) => {
  test("chooses one of the candidates and changes none of them", () => {
    fc.assert(
      fc.property(anyAsked, anyCandidates, anySeed, (asked, candidates, seed) => {
        // Frozen: writing to one throws.
        const frozen = Object.freeze(candidates.map((one) => Object.freeze({ ...one })));
        expect(frozen).toContain(strategy(Object.freeze(asked), frozen, seededRandom(seed)));
      }),
      runs(500),
    );
  });

  test("chooses one of them too when chance is at its ends", () => {
    fc.assert(
      fc.property(
        anyAsked,
        anyCandidates,
        fc.constantFrom(0, 1 - 2 ** -53),
        (asked, candidates, draw) => {
          expect(candidates).toContain(strategy(asked, candidates, () => draw));
        },
      ),
      runs(200),
    );
  });

  test("takes the only one", () => {
    const only = candidate();
    expect(strategy(NOTHING_ASKED, [only], () => 0.5)).toBe(only);
  });

  test("says so when there is none", () => {
    expect(() => strategy(NOTHING_ASKED, [], () => 0.5)).toThrow("at least one candidate");
  });

  test("decides alike for equal seeds", () => {
    fc.assert(
      fc.property(anyAsked, anyCandidates, anySeed, (asked, candidates, seed) => {
        const one = seededRandom(seed);
        const other = seededRandom(seed);
        for (let i = 0; i < 5; i += 1) {
          expect(strategy(asked, candidates, one)).toBe(strategy(asked, candidates, other));
        }
      }),
      runs(200),
    );
  });

  test("gives no place in the list an advantage", () => {
    const candidates = [0.3, 0.1, 0.6, 0.2].map((figure, i) =>
      candidate({ load: i, speed: 1 + figure, meanLatencyMs: figure * 1_000, cacheUsage: figure }),
    );
    const forwards = drawShares(strategy, candidates, 20_000);
    const backwards = drawShares(strategy, candidates.toReversed(), 20_000).toReversed();
    forwards.forEach((share, i) => {
      expect(Math.abs(share - (backwards[i] ?? Number.NaN))).toBeLessThan(0.1);
    });
  });

  test.each([2, 3, 8])("spreads ties of %d evenly", (count) => {
    const equal = Array.from({ length: count }, () => candidate({ ...KNOWN, load: 3 }));
    for (const share of drawShares(strategy, equal, 4_000 * count)) {
      expect(share).toBeWithin(0.9, 1.1);
    }
  });

  test.each([2, 3, 8])("spreads %d of which nothing is known evenly", (count) => {
    const unknown = Array.from({ length: count }, () => candidate());
    for (const share of drawShares(strategy, unknown, 4_000 * count)) {
      expect(share).toBeWithin(0.9, 1.1);
    }
  });

  test("never prefers the busier of two that are equal otherwise", () => {
    fc.assert(
      fc.property(anyCandidate, amount(50), amount(1), (one, more, fuller) => {
        const idle = { ...one };
        const busier = {
          ...one,
          load: one.load + more,
          cacheUsage: one.cacheUsage === null ? null : one.cacheUsage + fuller,
        };
        const [idleShare = 0] = drawShares(strategy, [idle, busier], 300);
        expect(idleShare).toBeGreaterThan(0.7);
      }),
      runs(100),
    );
  });

  test.each(["speed", "meanLatencyMs", "cacheUsage"] as const)(
    "does not starve a node without %s, nor floods it",
    (missing) => {
      const known = Array.from({ length: 4 }, () => candidate(KNOWN));
      const nodes = [...known, candidate({ ...KNOWN, [missing]: null })];
      const unknownShare = shares(
        closedLoop(strategy, nodes, { requests: 5_000, inFlight: 64 }),
      )[4];
      expect(unknownShare).toBeWithin(0.7, 1.3);
    },
  );

  test.each(["speed", "meanLatencyMs", "cacheUsage"] as const)(
    "does not starve the others when only one node has a %s",
    (present) => {
      const nodes = [candidate({ [present]: KNOWN[present] }), candidate(), candidate()];
      for (const share of shares(closedLoop(strategy, nodes, { requests: 3_000, inFlight: 48 }))) {
        expect(share).toBeWithin(0.7, 1.3);
      }
    },
  );

  test("spreads a steady load over equal nodes: none gets more than 1.2 times its share", () => {
    const nodes = Array.from({ length: 4 }, () => candidate(KNOWN));
    for (const share of shares(closedLoop(strategy, nodes, { requests: 1_000, inFlight: 64 }))) {
      expect(share).toBeWithin(0.8, 1.2);
    }
  });

  test("gives a node that is being brought in less, in the measure of its weight, and not nothing", () => {
    const nodes = [0.25, 1, 1, 1].map((weight) =>
      candidate({ speed: 1, meanLatencyMs: 800, cacheUsage: 0, weight }),
    );
    const counts = closedLoop(strategy, nodes, { requests: 8_000, inFlight: 64 });
    const [joining = 0, ...others] = counts;
    const mean = others.reduce((sum, count) => sum + count, 0) / others.length;
    expect(joining / mean).toBeWithin(0.15, 0.35);
  });
});
