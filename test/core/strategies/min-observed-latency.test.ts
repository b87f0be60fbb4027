import { expect, test } from "bun:test";
import { minObservedLatency } from "../../../src/core/strategies/min-observed-latency.ts";
import { Cluster, OK } from "../../../src/lab/cluster.ts";
import { traffic } from "../../support/traffic.ts";
import { choice, type Given } from "./closed-loop.ts";

const TABLE: [what: string, nodes: Given[], chosen: number][] = [
  ["the lowest mean", [{ meanLatencyMs: 30 }, { meanLatencyMs: 20 }, { meanLatencyMs: 40 }], 1],
  ["20 × (2 + 1) after 50 × (0 + 1)", [{ meanLatencyMs: 20, load: 2 }, { meanLatencyMs: 50 }], 1],
  ["20 × (1 + 1) before 50 × (0 + 1)", [{ meanLatencyMs: 20, load: 1 }, { meanLatencyMs: 50 }], 0],
  ["no history as the mean, 30", [{ meanLatencyMs: 10, load: 3 }, { meanLatencyMs: 50 }, {}], 2],
  [
    "no history as the mean, 30, × (1 + 1)",
    [{ meanLatencyMs: 10, load: 3 }, { meanLatencyMs: 50 }, { load: 1 }],
    0,
  ],
  ["by load alone without any history", [{ load: 2 }, { load: 1 }], 1],
  [
    "by load alone when all latencies are zero",
    [
      { meanLatencyMs: 0, load: 2 },
      { meanLatencyMs: 0, load: 1 },
    ],
    1,
  ],
  [
    "half the weight as twice the cost",
    [{ meanLatencyMs: 10, weight: 0.5 }, { meanLatencyMs: 19 }],
    1,
  ],
  [
    "a joining node's own mean in the measure of its weight: (1 + 5.5) / 2 / 0.5",
    [
      { meanLatencyMs: 1, weight: 0.5 },
      { meanLatencyMs: 10, load: -0.3 },
    ],
    0,
  ],
  [
    "a joining node's own mean in the measure of its weight, no more",
    [
      { meanLatencyMs: 1, weight: 0.5 },
      { meanLatencyMs: 10, load: -0.4 },
    ],
    1,
  ],
  [
    "nodes that join together by their own means",
    [
      { meanLatencyMs: 1, weight: 0.1, load: 8 },
      { meanLatencyMs: 10, weight: 0.1 },
    ],
    0,
  ],
];

test.each(TABLE)("%s", (_what, nodes, chosen) => {
  expect(choice(minObservedLatency, nodes)).toBe(chosen);
  expect(choice(minObservedLatency, nodes, () => 0.999)).toBe(chosen);
});

test("nodes that join later get requests although the first has answered already", () => {
  const cluster = new Cluster({ nodes: 1, strategy: "min_observed_latency" });
  cluster.send(cluster.node("n0"), OK);
  cluster.join("n1");
  cluster.join("n2");
  const answer = () => ({ meanMs: 500, outcome: OK });
  const counts = [...traffic(cluster, { perSecond: 20, seconds: 60, answer }).values()];
  for (const count of counts) expect(count).toBeGreaterThan((0.6 * 20 * 60) / 3);
});

test("a node twice as fast gets more, and the slower ones are not starved", () => {
  const cluster = new Cluster({ nodes: 3, strategy: "min_observed_latency" });
  const fast = cluster.node("n1");
  const counts = traffic(cluster, {
    perSecond: 40,
    seconds: 60,
    answer: (node) => ({ meanMs: node === fast ? 500 : 1_000, outcome: OK }),
  });
  const [one = 0, two = 0, three = 0] = counts.values();
  expect(two).toBeGreaterThan(1.5 * one);
  expect(two).toBeGreaterThan(1.5 * three);
  expect(Math.min(one, three)).toBeGreaterThan(200);
});
