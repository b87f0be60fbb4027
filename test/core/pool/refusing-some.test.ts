/** Nodes that refuse one sort of what their peers answer, and answer all else. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Node } from "../../../src/core/pool/node.ts";
import { Refusals } from "../../../src/core/pool/refusals.ts";
import { NOTHING_ASKED } from "../../../src/core/strategies/strategy.ts";
import { Cluster } from "../../../src/lab/cluster.ts";
import { seededRandom } from "../../../src/sim/model/seeded-random.ts";
import { times } from "../../support/ask.ts";
import { ask } from "./refused.ts";

setDefaultTimeout(60_000);

const SEEDS = times(20, null).map((_, i) => i + 1);

/** Two nodes, of which the first refuses one sort of requests; what became of them, by sort and by client. */
function playSort(seed: number, count: number, sorts: (nth: number) => "plain" | "sort" | "bad") {
  const cluster = new Cluster({ nodes: 2, strategy: "random", seed });
  const seen = { refused: 0, sort: 0, bad: 0, more: 0, outs: 0, first: 0 };
  cluster.registry.subscribe({
    stateChanged: (_node, _from, to) => {
      if (to === "unhealthy") seen.outs += 1;
    },
  });
  const first = cluster.node("n0");
  for (let nth = 0; nth < count; nth += 1) {
    const what = sorts(nth);
    const asked = { ...NOTHING_ASKED, client: what === "bad" ? "b" : "a" };
    const isRefused = (node: Node) => what === "bad" || (what === "sort" && node === first);
    const { isGood, attempts } = ask(cluster, asked, isRefused, 400);
    if (what === "sort" && !isGood) seen.refused += 1;
    if (what !== "plain") seen[what] += 1;
    if (what === "bad") seen.more += attempts.length - 1;
    if (attempts[0]?.node === first) seen.first += 1;
    cluster.time.advance(50);
  }
  return seen;
}

describe.each([0.002, 0.05, 0.3])(
  "one of two that refuses %d of what its peer answers",
  (share) => {
    test("has its refusals answered by that, and stays in for all else", () => {
      let all = { refused: 0, sort: 0, outs: 0, first: 0 };
      for (const seed of SEEDS) {
        // Not the numbers by which nodes are chosen.
        const random = seededRandom(seed + 1_000);
        const played = playSort(seed, 4_000, () => (random() < share ? "sort" : "plain"));
        const { refused, sort, outs, first } = played;
        all = {
          refused: all.refused + refused,
          sort: all.sort + sort,
          outs: all.outs + outs,
          first: all.first + first,
        };
      }
      expect(all.sort).toBeGreaterThan(100);
      expect(all.refused).toBe(0);
      // Three in a row may be the first that it is known by; then it is out until it is tried again.
      expect(all.outs).toBeLessThan(SEEDS.length / 4);
      expect(all.first / (SEEDS.length * 4_000)).toBeWithin(0.45, 0.55);
    });

    test("is asked for another client's bad requests again at most half of the time", () => {
      const all = { refused: 0, sort: 0, bad: 0, more: 0 };
      for (const seed of SEEDS) {
        // Not the numbers by which nodes are chosen.
        const random = seededRandom(seed + 1_000);
        const played = playSort(seed, 4_000, () => {
          const drawn = random();
          return drawn < share ? "sort" : drawn < share + 0.2 ? "bad" : "plain";
        });
        for (const what of ["refused", "sort", "bad", "more"] as const) all[what] += played[what];
      }
      expect(all.refused).toBeLessThan(all.sort * 0.2);
      expect(all.more).toBeLessThan(all.bad * 0.5);
    });
  },
);

test("of a client whose requests peers refuse, too, twice as many have to come each time, though some time passes", () => {
  const refusals = new Refusals();
  const tried = times(32, null).flatMap((_, nth) => {
    const mayAsk = refusals.mayAsk("a", false, nth);
    const lease = {};
    if (mayAsk) refusals.asks(lease, false, nth);
    refusals.refused(nth);
    refusals.askEnded(lease);
    if (mayAsk) refusals.alike("a", nth);
    return mayAsk ? [nth] : [];
  });
  expect(tried).toEqual([0, 2, 6, 14, 30]);
});

test("every second one is tried of a client whose bad requests come in rows, as long as a wrong refusal is remembered", () => {
  const refusals = new Refusals();
  /** How many of its bad requests, one each 100 ms from `fromMs` on, are tried on a peer. */
  const tried = (count: number, fromMs: number) =>
    times(count, null).filter((_, nth) => {
      const nowMs = fromMs + nth * 100;
      const mayAsk = refusals.mayAsk("a", false, nowMs);
      const lease = {};
      if (mayAsk) refusals.asks(lease, false, nowMs);
      refusals.refused(nowMs);
      refusals.askEnded(lease);
      if (mayAsk) refusals.alike("a", nowMs);
      return mayAsk;
    }).length;
  // Of nobody who refuses wrongly one in 16, in the end.
  expect(tried(160, 0)).toBeWithin(10, 15);
  refusals.overruled(20_000);
  expect(tried(160, 20_000)).toBeWithin(79, 84);
  expect(tried(160, 20_000 + 600_000)).toBeWithin(10, 15);
});
