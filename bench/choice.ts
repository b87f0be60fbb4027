/**
 * What one choice costs among many nodes: `bun bench/choice.ts [nodes]`. Prints, for every strategy,
 * the least over rounds of the time it takes to choose and reserve a node and to give it back, µs.
 */

import { STRATEGIES } from "../src/core/strategies/index.ts";
import { Cluster, OK } from "../src/lab/cluster.ts";

const ROUNDS = 25;
const CHOICES = 4_000;

const nodes = Number(process.argv[2] ?? 256);
for (const strategy of Object.keys(STRATEGIES)) {
  if (!isStrategy(strategy)) continue;
  const cluster = new Cluster({ nodes, strategy });
  for (const node of cluster.registry.nodes()) {
    const usage = cluster.random() / 2;
    const gauges = { cacheUsage: usage, running: 3, waiting: 0 };
    cluster.registry.learning.sampled(node, gauges, null, cluster.time.nowMs);
  }
  const open = Array.from({ length: nodes * 2 }, () => cluster.lease());
  const tookUs: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const start = performance.now();
    for (let i = 0; i < CHOICES; i += 1) {
      open[i % open.length]?.end(OK);
      open[i % open.length] = cluster.lease();
    }
    tookUs.push(((performance.now() - start) * 1_000) / CHOICES);
    cluster.time.advance(100);
  }
  tookUs.sort((a, b) => a - b);
  console.info(`${strategy.padEnd(24)} ${tookUs[0]?.toFixed(2)} µs among ${nodes} nodes`);
}

function isStrategy(name: string): name is keyof typeof STRATEGIES {
  return name in STRATEGIES;
}
