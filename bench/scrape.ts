/**
 * What one page of metrics costs: `bun bench/scrape.ts [nodes]`. Prints the least over rounds of the
 * time for which drawing it keeps everybody else waiting, ms.
 */
import { Cluster, OK } from "../src/lab/cluster.ts";
import { Histogram } from "../src/observe/histogram.ts";
import { Metrics } from "../src/observe/metrics.ts";
import { metricsPage } from "../src/observe/metrics-page.ts";
import { processStats } from "../src/observe/process-stats.ts";

const ROUNDS = 50;
const REQUESTS = 5_000;

const nodes = Number(process.argv[2] ?? 256);
const cluster = new Cluster();
const { registry, time } = cluster;
const metrics = new Metrics(registry, { now: time.now, wallMs: Date.now });
for (let i = 0; i < nodes; i += 1) cluster.join(`node-${i}.gpu.internal:8000`);
cluster.warmUp();
for (let i = 0; i < REQUESTS; i += 1) {
  const lease = cluster.lease();
  time.advance(3);
  for (let piece = 0; piece < 2; piece += 1) lease.piece(time.nowMs);
  lease.end(OK);
}
const options = {
  metrics,
  registry,
  needed: ["Hybrid"] as const,
  now: time.now,
  build: { version: "0", bun: Bun.version },
  strategies: [{ role: "Hybrid" as const, strategy: "min_expected_latency" }],
  metricsIntervalMs: 5_000,
  startedAtS: 0,
  lag: new Histogram([1]),
  process: processStats,
  queue: () => ({ length: 0, limit: 1_000 }),
  bodyMemory: () => ({ takenBytes: 0, limitBytes: 1 }),
  linesLost: () => 0,
  reload: { succeeded: true, succeededAtS: 0 },
  tlsNotAfterS: () => null,
};
let leastMs = Number.POSITIVE_INFINITY;
let bytes = 0;
for (let round = 0; round < ROUNDS; round += 1) {
  const start = performance.now();
  bytes = metricsPage(options, false).length;
  leastMs = Math.min(leastMs, performance.now() - start);
}
console.info(`${nodes} nodes: ${Math.round(bytes / 1_024)} KiB, ${leastMs.toFixed(1)} ms`);
