/**
 * What one choice costs among many nodes: `bun bench/choice.ts [nodes] [workers]`, with workers in a table
 * that so many processes count in. Prints, for every strategy,
 * the least over rounds of the time it takes to choose and reserve a node and to give it back, µs, and
 * the same when the choice is explained.
 */

import { sharedElsewhere } from "../src/cluster/shared-load.ts";
import { Table, tableBytes } from "../src/cluster/table.ts";
import { type Elsewhere, NOBODY_ELSE } from "../src/core/pool/elsewhere.ts";
import type { Lease } from "../src/core/pool/lease.ts";
import { STRATEGY_NAMES } from "../src/core/strategies/index.ts";
import { Cluster, OK } from "../src/lab/cluster.ts";

/** Short ones: some then fall between what else the machine does. */
const ROUNDS = 500;
const CHOICES = 100;

const nodes = Number(process.argv[2] ?? 256);
const workers = Number(process.argv[3] ?? 0);
for (const strategy of STRATEGY_NAMES) {
  const cluster = new Cluster({ nodes, strategy, elsewhere: sharedBy(workers) });
  for (const node of cluster.registry.nodes()) {
    const usage = cluster.random() / 2;
    const gauges = { cacheUsage: usage, running: 3, waiting: 0 };
    cluster.registry.learning.sampled(node, gauges, null, cluster.time.nowMs);
  }
  const open = Array.from({ length: nodes * 2 }, () => cluster.lease());
  const leastUs = { plain: Number.POSITIVE_INFINITY, explained: Number.POSITIVE_INFINITY };
  // In turns, so that what else the machine does falls on both.
  for (let round = 0; round < ROUNDS; round += 1) {
    const how = round % 2 === 0 ? "plain" : "explained";
    const wanted = how === "plain" ? {} : { explainer: { chosen: () => {} } };
    const start = performance.now();
    for (let i = 0; i < CHOICES; i += 1) {
      const at = (round * CHOICES + i) % open.length;
      answer(open[at]);
      open[at] = cluster.lease(wanted);
    }
    const tookUs = ((performance.now() - start) * 1_000) / CHOICES;
    leastUs[how] = Math.min(leastUs[how], tookUs);
    cluster.time.advance(10);
  }
  const [plain, explained] = [leastUs.plain.toFixed(2), leastUs.explained.toFixed(2)];
  console.info(
    `${strategy.padEnd(24)} ${plain} µs among ${nodes} nodes, ${explained} µs when explained`,
  );
}

/** As an engine does: an answer without a byte would be a refusal, and compared with what its peers do. */
function answer(lease: Lease | undefined): void {
  lease?.answering(200);
  lease?.piece(lease.startedAtMs);
  lease?.end(OK);
}

/** Others have two requests in flight on every node. */
function sharedBy(count: number): Elsewhere {
  if (count === 0) return NOBODY_ELSE;
  const size = { rows: count, clients: 0 };
  const table = new Table(new Uint8Array(tableBytes(size)), size);
  table.rowsInUse = count;
  for (let row = 1; row < count; row += 1) {
    for (let slot = 0; slot < nodes * 2; slot += 1) table.ofRow(row).beginOn(slot % nodes, 1_000);
  }
  return sharedElsewhere(table.ofRow(0));
}
