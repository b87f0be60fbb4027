/**
 * What a strategy costs a request: `bun bench/strategies.ts [--rounds N] [--seconds N] [--kib 8] [--nodes 8]
 * [--strategies a,b]`, with the executable of `bun run build`. In turns: work A with bodies of so many KiB,
 * over so many nodes, by each strategy. CPU time for each request, the least of all rounds.
 */
import { parseArgs } from "node:util";
import { lmproxyContestant } from "./contestants.ts";
import { chooseCores, killAllAtExit } from "./host.ts";
import { Laboratory } from "./laboratory.ts";
import { bestOf } from "./turns.ts";
import { requests } from "./works.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "3" },
    kib: { type: "string", default: "8" },
    nodes: { type: "string", default: "8" },
    strategies: { type: "string", default: "min_expected_latency,prefix_aware" },
  },
});
killAllAtExit();
const cores = await chooseCores();
// Long enough for all code to be compiled: each strategy runs its own.
const window = { warmMs: 4_000, measureMs: Number(values.seconds) * 1_000 };
const nodes = Number(values.nodes);
const title = `POST of ${values.kib} KiB, 64 connections, ${nodes} nodes`;
const work = requests("A", title, Number(values.kib) * 1_024, { nodes });
const laboratory = await Laboratory.open(cores, nodes, 0);
const turns = { laboratory, window, rounds: Number(values.rounds), core: cores.contestant };
const field = values.strategies
  .split(",")
  .map((strategy) => lmproxyContestant(undefined, strategy, strategy));
const best = await bestOf(field, work, turns);
const first = best.values().next().value?.us ?? Number.NaN;
console.info(work.title);
for (const [name, { us }] of best) {
  console.info(`  ${name.padEnd(22)}  ${us.toFixed(1)} µs a request, ${(us / first).toFixed(2)}`);
}
await laboratory.close();
