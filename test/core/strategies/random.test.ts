import { expect, test } from "bun:test";
import { random } from "../../../src/core/strategies/random.ts";
import { candidate, choice, closedLoop, type Given } from "./closed-loop.ts";

/** Requests each node gets, of 20,000. */
function counts(...nodes: Given[]): number[] {
  return closedLoop(
    random,
    nodes.map((given) => candidate(given)),
    { requests: 20_000, inFlight: 8 },
  );
}

test("a node gets requests in proportion to its speed", () => {
  const [slow = 0, fast = 0] = counts({ speed: 1 }, { speed: 3 });
  expect(fast / slow).toBeWithin(2.8, 3.2);
});

test("a node without a speed counts as the mean of those that have one", () => {
  const [slow = 0, fast = 0, unknown = 0] = counts({ speed: 1 }, { speed: 3 }, {});
  expect(unknown / slow).toBeWithin(1.85, 2.15);
  expect(unknown / fast).toBeWithin(0.6, 0.73);
});

test("load, latency and usage do not matter", () => {
  const [busy = 0, idle = 0] = counts({ load: 50, meanLatencyMs: 9_000, cacheUsage: 1 }, {});
  expect(busy / idle).toBeWithin(0.95, 1.05);
});

test("chance is laid over the nodes in their order, each as wide as its weight", () => {
  const nodes = [{ speed: 1 }, { speed: 2 }, { speed: 1, weight: 0.5 }];
  const chosen = [0, 0.28, 0.29, 0.85, 0.86, 0.999].map((draw) =>
    choice(random, nodes, () => draw),
  );
  expect(chosen).toEqual([0, 0, 1, 1, 2, 2]);
});
