/**
 * What a contestant takes while its code is being compiled: `bun bench/warming.ts [--work A] [--contestants a,b]
 * [--executable NAME=PATH]… [--runs N] [--halves N]`. Prints for each, as the median over runs, each with a start of
 * its own, the CPU time of its whole tree of processes in each half of a second from its first request on, µs a
 * request or chunk.
 */
import { parseArgs } from "node:util";
import { startContestant } from "./cell.ts";
import type { Contestant } from "./contestants.ts";
import { allContestants } from "./field.ts";
import { chooseCores, killAllAtExit } from "./host.ts";
import { Laboratory } from "./laboratory.ts";
import { loadOf, WORKS } from "./works.ts";

const HALF = { warmMs: 0, measureMs: 500 };

const { values } = parseArgs({
  options: {
    work: { type: "string", default: "A" },
    contestants: { type: "string", default: "lmproxy,bare" },
    executable: { type: "string", multiple: true, default: [] },
    runs: { type: "string", default: "3" },
    halves: { type: "string", default: "16" },
  },
});
const work = WORKS.find(({ name }) => name === values.work);
if (work === undefined) throw new Error(`there is no work ${values.work}`);
const builds = new Map(
  values.executable.map((given) => {
    const [name = "", ...path] = given.split("=");
    return [name, path.join("=")] as const;
  }),
);
const names = values.contestants.split(",");
const everybody = await allContestants(undefined, builds, names.some(isRouter));
const field = everybody.filter(({ name }) => names.includes(name) || builds.has(name));
killAllAtExit();
const cores = chooseCores();
const laboratory = await Laboratory.open(cores, Math.max(1, work.nodes), work.others);
const nodes = laboratory.nodeUrls(work.nodes, work.others);
for (const contestant of field) {
  const runs: number[][] = [];
  for (let run = 0; run < Number(values.runs); run += 1) runs.push(await warm(contestant));
  const [first = []] = runs;
  const medians = first.map((_, half) => median(runs.map((run) => run[half] ?? Number.NaN)));
  console.info(contestant.name.padEnd(12), medians.map((us) => us.toFixed(0).padStart(5)).join(""));
}
await laboratory.close();
process.exit(0);

function isRouter(name: string): boolean {
  return !["lmproxy", "nginx", "haproxy", "bare"].includes(name);
}

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

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
