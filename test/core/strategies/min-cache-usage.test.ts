import { describe, expect, test } from "bun:test";
import { minCacheUsage } from "../../../src/core/strategies/min-cache-usage.ts";
import { Cluster, OK } from "../../../src/lab/cluster.ts";
import { traffic } from "../../support/traffic.ts";
import { choice, type Given } from "./closed-loop.ts";

const TABLE: [what: string, nodes: Given[], chosen: number][] = [
  [
    "the emptiest by what we hold there, whatever the last sample says",
    [
      { cacheUsage: 0.1, load: 9 },
      { cacheUsage: 0.6, load: 2 },
    ],
    1,
  ],
  [
    "of two with as much in flight the one where a request takes less",
    [
      { cacheUsage: 0.3, load: 4, usagePerRequest: 0.02 },
      { cacheUsage: 0.3, load: 4, usagePerRequest: 0.01 },
    ],
    1,
  ],
  [
    "one of twice the size while it holds less than twice as much",
    [
      { cacheUsage: 0.3, load: 5, usagePerRequest: 0.02 },
      { cacheUsage: 0.3, load: 10, usagePerRequest: 0.01 },
    ],
    1,
  ],
  [
    "min_expected_latency without any sample",
    [
      { load: 2, speed: 1 },
      { load: 3, speed: 2 },
    ],
    1,
  ],
  ["half the weight as twice the cost", [{ cacheUsage: 0.1, weight: 0.5 }, { cacheUsage: 0.2 }], 1],
];

test.each(TABLE)("%s", (_what, nodes, chosen) => {
  expect(choice(minCacheUsage, nodes)).toBe(chosen);
  expect(choice(minCacheUsage, nodes, () => 0.999)).toBe(chosen);
});

interface Polled {
  /** How often the engines bring their gauges up to date, ms; 0: whenever they are asked. */
  readonly refreshMs: number;
  /** KV cache that one request takes, fraction. */
  readonly share: number;
  readonly perSecond: number;
  readonly meanMs: number;
}

const POLL_MS = 5_000;

/** Polls all nodes as the proxy does, their gauges being refreshed each at a time of its own. */
function poll({ time, registry }: Cluster, { refreshMs, share }: Polled): void {
  registry.nodes().forEach((node, i, { length }) => {
    const read = () => ({ cacheUsage: node.inFlight * share, running: node.inFlight, waiting: 0 });
    let gauges = read();
    const refresh = () => {
      gauges = read();
      time.after(refreshMs, refresh);
    };
    if (refreshMs > 0) time.after((refreshMs * i) / length, refresh);
    const ask = () => {
      registry.learning.sampled(node, refreshMs === 0 ? read() : gauges, "lmdeploy", time.nowMs);
      time.after(POLL_MS, ask);
    };
    ask();
  });
}

/** What 4 polled nodes get in 5 minutes, and how unevenly requests are spread over them at any time. */
function run(polled: Polled) {
  const cluster = new Cluster({ nodes: 4, strategy: "min_cache_usage" });
  poll(cluster, polled);
  const { perSecond, meanMs } = polled;
  /** The fullest node's requests over the mean of all, each time one is sent. */
  const peaks: number[] = [];
  let sentToOne = 0;
  let last: unknown = null;
  let longestRow = 0;
  const counts = traffic(cluster, {
    perSecond,
    seconds: 300,
    answer: () => ({ meanMs, outcome: OK }),
    onSent: ({ node }) => {
      sentToOne = node === last ? sentToOne + 1 : 1;
      last = node;
      longestRow = Math.max(longestRow, sentToOne);
      const inFlight = cluster.registry.nodes().map((one) => one.inFlight);
      const sum = inFlight.reduce((a, b) => a + b, 0);
      peaks.push((Math.max(...inFlight) * inFlight.length) / sum);
    },
  });
  const meanPeak = peaks.reduce((a, b) => a + b, 0) / peaks.length;
  return { counts: [...counts.values()], meanPeak, longestRow };
}

describe.each<[string, Polled]>([
  ["gauges as of now", { refreshMs: 0, share: 0.01, perSecond: 20, meanMs: 4_000 }],
  ["gauges of every 10 s", { refreshMs: 10_000, share: 0.01, perSecond: 20, meanMs: 4_000 }],
  ["short requests", { refreshMs: 10_000, share: 0.01, perSecond: 20, meanMs: 1_000 }],
  ["small requests", { refreshMs: 10_000, share: 0.0005, perSecond: 50, meanMs: 8_000 }],
  ["little traffic", { refreshMs: 10_000, share: 0.001, perSecond: 5, meanMs: 4_000 }],
])("between two polls there is no herd: %s", (_what, polled) => {
  const { counts, meanPeak, longestRow } = run(polled);

  test("every node gets about its share", () => {
    const share = (polled.perSecond * 300) / counts.length;
    for (const count of counts) expect(count / share).toBeWithin(0.8, 1.2);
  });

  test("the fullest node is not much fuller than the mean", () => {
    // At best, with few requests at a time, the fullest is still above the mean by its fraction of one.
    expect(meanPeak).toBeLessThan(1.6);
  });

  test("one node never gets what comes in between two polls", () => {
    expect(longestRow).toBeLessThan((polled.perSecond * POLL_MS) / 1_000);
  });
});

test("requests that end at once still count for a while: one idle node does not get them all", () => {
  const cluster = new Cluster({ nodes: 2, strategy: "min_cache_usage" });
  const [first, second] = [cluster.node("n0"), cluster.node("n1")];
  const sample = { running: 0, waiting: 0 };
  cluster.registry.learning.sampled(
    first,
    { cacheUsage: 0.1, ...sample },
    "vllm",
    cluster.time.nowMs,
  );
  cluster.registry.learning.sampled(
    second,
    { cacheUsage: 0.2, ...sample },
    "vllm",
    cluster.time.nowMs,
  );
  const counts = traffic(cluster, {
    perSecond: 20,
    seconds: 4,
    answer: () => ({ meanMs: 1, outcome: OK }),
  });
  expect(counts.get(second)).toBeGreaterThan(20);
});
