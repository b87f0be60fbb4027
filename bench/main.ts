/** `bun run bench`: lmproxy beside nginx, HAProxy, bare Bun and other LLM routers, in one run. */
import { parseArgs } from "node:util";
import { runBenchmark, takesPart } from "./benchmark.ts";
import type { Contestant } from "./contestants.ts";
import { allContestants, readBuilds } from "./field.ts";
import { chooseCores, killAllAtExit } from "./host.ts";
import { Laboratory } from "./laboratory.ts";
import { summaryLines } from "./print.ts";
import { inTurns, turnLines } from "./turns.ts";
import { MAIN_WORKS, WORKS, type Work } from "./works.ts";

const HELP = `bun run bench [options]

  --quick               A, B, C and D in short rounds, lmproxy, nginx and bare Bun; under 90 s
  --only A,C            these works only (${WORKS.map((work) => work.name).join(", ")})
  --contestants a,b     these contestants only
  --routers             also LLM routers from PyPI, installed into a cache of their own
  --rounds N            rounds (5)
  --seconds N           length of the measured window of each (3)
  --json FILE           keep the raw figures; bench/report.ts makes docs/performance.md of them
  --lmproxy PATH        another executable than ./lmproxy
  --executable NAME=PATH
                        another build of lmproxy in the same run; may be given again
  --turns               CPU time alone, of all at the same time, with the load in short turns
                        (--rounds for each of three processes of each; 15): ratios hold to some
                        hundredths, also on a machine that others use; nothing is kept
`;

const QUICK = { works: ["A", "B", "C", "D"], contestants: ["lmproxy", "nginx", "bare"] };

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      help: { type: "boolean", short: "h" },
      quick: { type: "boolean" },
      only: { type: "string" },
      contestants: { type: "string" },
      routers: { type: "boolean" },
      rounds: { type: "string" },
      seconds: { type: "string" },
      json: { type: "string" },
      lmproxy: { type: "string" },
      executable: { type: "string", multiple: true },
      turns: { type: "boolean" },
    },
  });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const isQuick = values.quick === true;
  const only = values.only?.split(",") ?? (isQuick ? QUICK.works : undefined);
  const field = values.contestants?.split(",") ?? (isQuick ? QUICK.contestants : undefined);
  const works = WORKS.filter((work) => only?.includes(work.name) ?? true);
  const builds = await readBuilds(values.executable ?? []);
  if (builds instanceof Error) {
    console.error(builds.message);
    return 2;
  }
  const contestants = (
    await allContestants(values.lmproxy, builds, values.routers === true)
  ).filter((each) => builds.has(each.name) || (field?.includes(each.name) ?? true));
  const unknown = [
    ...(only ?? []).filter((name) => !works.some((work) => work.name === name)),
    ...(field ?? []).filter((name) => !contestants.some((each) => each.name === name)),
  ];
  if (unknown.length > 0) {
    console.error(`unknown: ${unknown.join(", ")}; bun run bench --help lists what there is`);
    return 2;
  }
  killAllAtExit();
  if (values.turns) {
    const present = await thatAreHere(contestants);
    await takeTurns(present, works, Number(values.rounds ?? 15));
    return 0;
  }
  const raw = await runBenchmark(
    {
      command: ["bun run bench", ...Bun.argv.slice(2)].join(" "),
      contestants,
      works,
      rounds: Number(values.rounds ?? (isQuick ? 3 : 5)),
      window: isQuick
        ? { warmMs: 500, measureMs: 1_000 }
        : { warmMs: 2_000, longWarmMs: 6_000, measureMs: Number(values.seconds ?? 3) * 1e3 },
      retries: isQuick ? 0 : 2,
      withExtras: !isQuick && works.some((work) => MAIN_WORKS.includes(work)) && !values.only,
      deadlineMs: isQuick ? 75_000 : null,
    },
    chooseCores(),
    (line) => console.error(line),
  );
  if (values.json) await Bun.write(values.json, JSON.stringify(raw));
  for (const line of summaryLines(raw)) console.log(line);
  return 0;
}

/** To be asked for a version has a router installed. */
async function thatAreHere(contestants: readonly Contestant[]): Promise<Contestant[]> {
  const present: Contestant[] = [];
  for (const contestant of contestants) {
    const version = await contestant.version();
    if (version instanceof Error) console.error(`${contestant.name}: absent: ${version.message}`);
    else present.push(contestant);
  }
  return present;
}

/** Long enough for all code to be compiled. */
const TURNS_WARM_MS = 6_000;

async function takeTurns(
  contestants: readonly Contestant[],
  works: readonly Work[],
  rounds: number,
): Promise<void> {
  const cores = chooseCores();
  const nodes = Math.max(1, ...works.map((work) => work.nodes));
  const laboratory = await Laboratory.open(cores, nodes, Math.max(...works.map((w) => w.others)));
  const turns = { laboratory, rounds, warmMs: TURNS_WARM_MS, core: cores.contestant };
  try {
    for (const work of works) {
      const field = contestants.filter((each) => takesPart(each, work));
      for (const line of turnLines(await inTurns(field, work, turns), work)) console.log(line);
    }
  } finally {
    await laboratory.close();
  }
}

if (import.meta.main) process.exit(await main());
