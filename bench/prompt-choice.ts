/**
 * What `prefix_aware` costs for a prompt among many nodes: `bun bench/prompt-choice.ts [nodes]`. Prints the
 * least over rounds of the time it takes to make blocks of a prompt of 8 KiB or 1 MiB, to choose and
 * reserve a node by them, and to give it back, µs.
 */
import { promptBlocks } from "../src/core/body/prompt-blocks.ts";
import { scanRequestHead } from "../src/core/body/request-head.ts";
import type { Lease } from "../src/core/pool/lease.ts";
import { NOTHING_ASKED } from "../src/core/strategies/strategy.ts";
import { Cluster, OK } from "../src/lab/cluster.ts";
import { hash } from "../src/proxy/routing.ts";

/** Short ones: some then fall between what else the machine does. */
const ROUNDS = 1_000;
const KIB_A_ROUND = 5_000;
const MOST_CHOICES = 50;

const nodes = Number(process.argv[2] ?? 256);
for (const kib of [8, 1024]) {
  const cluster = new Cluster({ nodes, strategy: "prefix_aware" });
  const open = Array.from({ length: nodes * 2 }, () => cluster.lease());
  const prompts = Array.from({ length: 16 }, (_, i) => {
    const content = `${i} and the same text for all, `.repeat(kib * 32).slice(0, kib * 1024);
    const body = Buffer.from(JSON.stringify({ model: "m", messages: [{ role: "user", content }] }));
    return { body, head: scanRequestHead(body) };
  });
  const choices = Math.min(MOST_CHOICES, Math.ceil(KIB_A_ROUND / kib));
  let sent = 0;
  let leastUs = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round += 1) {
    const startMs = performance.now();
    for (let i = 0; i < choices; i += 1) {
      const prompt = prompts[sent % prompts.length];
      const at = sent % open.length;
      sent += 1;
      if (prompt === undefined) continue;
      answer(open[at]);
      const asked = { ...NOTHING_ASKED, ...promptBlocks(prompt.body, prompt.head, hash) };
      open[at] = cluster.lease({ asked });
    }
    leastUs = Math.min(leastUs, ((performance.now() - startMs) * 1_000) / choices);
    cluster.time.advance(10);
  }
  console.info(`${kib} KiB  ${leastUs.toFixed(1)} µs among ${nodes} nodes`);
}

/** As an engine does: an answer without a byte would be a refusal, and compared with what its peers do. */
function answer(lease: Lease | undefined): void {
  lease?.answering(200);
  lease?.piece(lease.startedAtMs);
  lease?.end(OK);
}
