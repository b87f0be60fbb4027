import { expect, test } from "bun:test";
import { minExpectedLatency } from "../../../src/core/strategies/min-expected-latency.ts";
import { candidate, choice, closedLoop, type Given } from "./closed-loop.ts";

const TABLE: [what: string, nodes: Given[], chosen: number][] = [
  ["the fewest unfinished", [{ load: 2 }, { load: 1 }, { load: 3 }], 1],
  [
    "(2 + 1) / 2 before (1 + 1) / 1",
    [
      { load: 1, speed: 1 },
      { load: 2, speed: 2 },
    ],
    1,
  ],
  [
    "(3 + 1) / 2 after (0 + 1) / 1",
    [
      { load: 0, speed: 1 },
      { load: 3, speed: 2 },
    ],
    0,
  ],
  ["the faster of two that are idle", [{ speed: 1 }, { speed: 1.5 }, { speed: 1.4 }], 1],
  [
    "no speed as the mean, 2: (2 + 1) / 2",
    [{ load: 1, speed: 1 }, { load: 5, speed: 3 }, { load: 2 }],
    2,
  ],
  [
    "no speed as the mean, 2: (3 + 1) / 2",
    [{ load: 0.5, speed: 1 }, { load: 5, speed: 3 }, { load: 3 }],
    0,
  ],
  ["a charge for a failed answer like a request", [{ load: 0.4 }, { load: 0.3 }], 1],
  ["half the weight as twice the cost", [{ weight: 0.5 }, { load: 0.9 }], 1],
  ["half the weight as twice the cost, no more", [{ weight: 0.5 }, { load: 1.1 }], 0],
];

test.each(TABLE)("%s", (_what, nodes, chosen) => {
  expect(choice(minExpectedLatency, nodes)).toBe(chosen);
  expect(choice(minExpectedLatency, nodes, () => 0.999)).toBe(chosen);
});

test("costs that differ by rounding alone are a tie", () => {
  const nodes = [
    { load: 0.1 + 0.2, speed: 1 },
    { load: 0.3, speed: 1 },
  ];
  expect([0.1, 0.9].map((draw) => choice(minExpectedLatency, nodes, () => draw))).toEqual([1, 0]);
});

test("a node of declared speed 2 gets twice what a node of speed 1 gets", () => {
  const nodes = [candidate({ speed: 1 }), candidate({ speed: 2 })];
  const [one = 0, two = 0] = closedLoop(minExpectedLatency, nodes, {
    requests: 2_000,
    inFlight: 64,
  });
  expect(two / one).toBeWithin(1.7, 2.3);
});
