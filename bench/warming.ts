/**
 * What a contestant takes while its code is being compiled: `bun bench/warming.ts [--work A] [--contestants a,b]
 * [--routers] [--executable NAME=PATH]… [--runs N] [--halves N]`, as `bun run bench` takes them. Prints for each, as the median over runs, each with a start of
 * its own, the CPU time of its whole tree of processes in each half of a second from its first request on, µs a
 * request or chunk.
 */
import { parseArgs } from "node:util";
import { startContestant } from "./cell.ts";
import type { Contestant } from "./contestants.ts";
import { allContestants, readBuilds } from "./field.ts";
import { chooseCores, killAllAtExit } from "./host.ts";
import { Laboratory } from "./laboratory.ts";
import { spreadOf } from "./summary.ts";
import { loadOf, WORKS } from "./works.ts";

const HALF = { warmMs: 0, measureMs: 500 };

const { values } = parseArgs({
  options: {
    work: { type: "string", default: "A" },
    contestants: { type: "string", default: "lmproxy,bare" },
    routers: { type: "boolean", default: false },
    executable: { type: "string", multiple: true, default: [] },
    runs: { type: "string", default: "3" },
    halves: { type: "string", default: "16" },
  },
});
const work = WORKS.find(({ name }) => name === values.work);
if (work === undefined) throw new Error(`there is no work ${values.work}`);
const builds = await readBuilds(values.executable);
if (builds instanceof Error) throw builds;
const names = values.contestants.split(",");
const everybody = await allContestants(undefined, builds, values.routers);
const field = everybody.filter(({ name }) => names.includes(name) || builds.has(name));
killAllAtExit();
const cores = chooseCores();
const laboratory = await Laboratory.open(cores, Math.max(1, work.nodes), work.others);
const nodes = laboratory.nodeUrls(work.nodes, work.others);
for (const contestant of field) {
  const runs: number[][] = [];
  for (let run = 0; run < Number(values.runs); run += 1) runs.push(await warm(contestant));
  const [first = []] = runs;
  const medians = first.map(
    (_, half) => spreadOf(runs.map((run) => run[half] ?? Number.NaN))?.median,
  );
  const shown = medians.map((us) => (us?.toFixed(0) ?? "–").padStart(5));
  console.info(contestant.name.padEnd(12), shown.join(""));
}
await laboratory.close();
process.exit(0);

/** One start, half a second after the other, µs. */
async function warm(contestant: Contestant): Promise<number[]> {
  if (work === undefined) return [];
  const running = await startContestant(contestant, nodes, cores.contestant);
  const halves: number[] = [];
  try {
    for (let half = 0; half < Number(values.halves); half += 1) {
      const load = loadOf(work, HALF, {
        port: running.port,
        contestantPid: running.pid,
        enginePid: laboratory.enginePid,
        cores: laboratory.cores,
        exactBytes: contestant.exactBytes,
      });
      const { cpuUs, chunks, requests } = await laboratory.run(load);
      halves.push(cpuUs / (work.unit === "chunk" ? chunks : requests));
    }
  } finally {
    await running.stop();
  }
  return halves;
}
