/**
 * What a strategy costs a request: `bun bench/strategies.ts [--rounds N] [--kib 8] [--nodes 8]
 * [--strategies a,b]`, with the executable of `bun run build`. In turns: work A with bodies of so many KiB,
 * over so many nodes, by each strategy. CPU time for each request, and its ratio to the first strategy's.
 */
import { parseArgs } from "node:util";
import { lmproxyContestant } from "./contestants.ts";
import { chooseCores, killAllAtExit } from "./host.ts";
import { Laboratory } from "./laboratory.ts";
import { inTurns, turnLines } from "./turns.ts";
import { requests } from "./works.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "15" },
    kib: { type: "string", default: "8" },
    nodes: { type: "string", default: "8" },
    strategies: { type: "string", default: "min_expected_latency,prefix_aware" },
  },
});
killAllAtExit();
const cores = chooseCores();
const nodes = Number(values.nodes);
const title = `POST of ${values.kib} KiB, 64 connections, ${nodes} nodes`;
const work = requests("A", title, Number(values.kib) * 1_024, { nodes });
const laboratory = await Laboratory.open(cores, nodes, 0);
const rounds = Number(values.rounds);
// Long enough for all code to be compiled: each strategy runs its own.
const turns = { laboratory, rounds, warmMs: 4_000, core: cores.contestant };
const field = values.strategies
  .split(",")
  .map((strategy) => lmproxyContestant(undefined, strategy, strategy));
for (const line of turnLines(await inTurns(field, work, turns), work)) console.info(line);
await laboratory.close();
