/**
 * Where lmproxy's main thread spends its time: `bun bench/profile.ts A C` runs it from source
 * under Bun's sampling profiler and prints the functions that were found at work most often.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { startContestant } from "./cell.ts";
import { type Contestant, lmproxyContestant } from "./contestants.ts";
import { chooseCores, killAllAtExit, removeScratch, scratchDirectory } from "./host.ts";
import { Laboratory } from "./laboratory.ts";
import { loadOf, WORKS, type Work } from "./works.ts";

const ROOT = join(import.meta.dir, "..");
const WINDOW = { warmMs: 1_000, measureMs: 5_000 };
const MOST_FUNCTIONS = 16;
/** Writing the profile takes a moment after the process was told to end. */
const WRITE_LIMIT_MS = 10_000;

/** The part of the DevTools format that is read here. */
interface Profile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string };
  }[];
  /** The node that was found at work, for each sample. */
  readonly samples: readonly number[];
}

function profiled(directory: string): Contestant {
  const contestant = lmproxyContestant();
  return {
    ...contestant,
    name: "profile",
    async prepare(place) {
      const { command } = await contestant.prepare(place);
      const flags = ["--cpu-prof", `--cpu-prof-dir=${directory}`, join(ROOT, "src/main.ts")];
      return {
        command: [process.execPath, ...flags, ...command.slice(1)],
        env: { BUN_CONFIG_MAX_HTTP_REQUESTS: "65535" },
      };
    },
  };
}

/** Samples by function, the most frequent first. */
function byFunction({ nodes, samples }: Profile): [name: string, samples: number][] {
  const names = new Map(
    nodes.map(({ id, callFrame: { functionName, url } }) => {
      const file = url.replace(/^.*\/(?=(?:src|node_modules)\/)/, "");
      return [id, `${functionName || "(native)"} ${file}`.trim()];
    }),
  );
  const counts = new Map<string, number>();
  for (const id of samples) {
    const name = names.get(id) ?? "?";
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [...counts].sort(([, a], [, b]) => b - a);
}

/** Written by Bun, in its own format. */
async function readProfile(directory: string): Promise<Profile> {
  const endMs = performance.now() + WRITE_LIMIT_MS;
  while (performance.now() < endMs) {
    const [file] = readdirSync(directory);
    const text = file === undefined ? "" : await Bun.file(join(directory, file)).text();
    // Not written to its end before.
    if (text.endsWith("}")) return JSON.parse(text);
    await Bun.sleep(50);
  }
  throw new Error("no profile was written");
}

async function profile(work: Work): Promise<void> {
  const cores = chooseCores();
  const directory = scratchDirectory("profile");
  const laboratory = await Laboratory.open(cores, work.nodes, work.others);
  const nodes = laboratory.nodeUrls(work.nodes, work.others);
  const running = await startContestant(profiled(directory), nodes, cores.contestant);
  const { port, pid } = running;
  const rest = { enginePid: laboratory.enginePid, cores: laboratory.cores, exactBytes: true };
  const measured = await laboratory.run(
    loadOf(work, WINDOW, { port, contestantPid: pid, ...rest }),
  );
  process.kill(pid, "SIGINT");
  const taken = await readProfile(directory);
  await running.stop();
  await laboratory.close();
  removeScratch(directory);
  const units = work.unit === "chunk" ? measured.chunks : measured.requests;
  console.log(`${work.name}: ${units} ${work.unit}s in ${measured.seconds.toFixed(1)} s`);
  for (const [name, count] of byFunction(taken).slice(0, MOST_FUNCTIONS)) {
    console.log(`${((100 * count) / taken.samples.length).toFixed(1).padStart(5)} % ${name}`);
  }
}

if (import.meta.main) {
  killAllAtExit();
  const names = process.argv.slice(2);
  for (const work of WORKS) if (names.includes(work.name)) await profile(work);
  process.exit(0);
}
