/**
 * What one look at the live page costs: `bun bench/live.ts [nodes]`. All nodes are busy, 8 requests at
 * a time on each. Prints the bytes a second that it is told, and for how long making that keeps
 * everybody else waiting: the least of all seconds, and the least of those with figures, ms.
 */
import { liveCluster, type Running } from "../test/support/live-cluster.ts";

const SECONDS = 120;
const OPEN_PER_NODE = 8;
const FIGURES_EVERY_S = 5;

const nodes = Number(process.argv[2] ?? 256);
const all = liveCluster(nodes);
const running: Running[] = [];
const cut = (most: number) => {
  while (running.length > most) {
    const [one] = running.splice(Math.floor(all.cluster.random() * running.length), 1);
    one?.end();
  }
};
let bytes = 0;
all.live.watch({
  tell: (line) => {
    bytes += line.length;
  },
  end() {},
});
const first = bytes;
bytes = 0;
const tookMs: number[] = [];
for (let second = 0; second < SECONDS; second += 1) {
  for (let at = 0; at < nodes; at += 1) running.push(all.send());
  cut(nodes * OPEN_PER_NODE);
  all.cluster.registry.learning.look();
  const start = performance.now();
  all.cluster.time.advance(1_000);
  tookMs.push(performance.now() - start);
}
const busyMs = tookMs.filter((_, second) => (second + 1) % FIGURES_EVERY_S === 0);
const least = (ms: readonly number[]) => Math.min(...ms).toFixed(1);
console.info(
  `${nodes} nodes: ${first} bytes at first, then ${Math.round(bytes / SECONDS)} a second; ` +
    `${least(tookMs)} ms, with figures ${least(busyMs)} ms`,
);
