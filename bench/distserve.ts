/** `bun bench/distserve.ts`: what DistServe costs the proxy itself, as ratios to Hybrid. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { runCell } from "./cell.ts";
import type { Contestant } from "./contestants.ts";
import { chooseCores, killAllAtExit, spawnPinned } from "./host.ts";
import { Laboratory } from "./laboratory.ts";
import type { Measured } from "./load.ts";
import { spreadOf } from "./summary.ts";
import type { Work } from "./works.ts";

const HELP = `bun bench/distserve.ts [options]

  --rounds N      rounds, each mode once in each (5)
  --seconds N     length of the measured window of each (3)
  --lmproxy PATH  the executable (./lmproxy where it has been built, else the sources)
`;

const ROOT = join(import.meta.dir, "..");
const ask = { everyMs: 0, bodyBytes: 1_024 } as const;
const closedLoop = { ratePerS: null, nodes: 1, others: 0, isPacedByContestant: true } as const;
const WORKS: readonly Work[] = [
  {
    ...closedLoop,
    name: "json",
    title: "POST 1 KB, JSON answer of 600 B, 64 connections",
    connections: 64,
    portions: [{ share: 1, ask: { ...ask, stream: false, chunks: 0 } }],
    unit: "request",
  },
  {
    ...closedLoop,
    name: "stream",
    title: "POST 1 KB, stream of 16 chunks as fast as they come, 64 connections",
    connections: 64,
    portions: [{ share: 1, ask: { ...ask, stream: true, chunks: 16 } }],
    unit: "request",
  },
];

interface Mode {
  readonly title: string;
  readonly works: readonly string[];
  readonly flags: (nodes: readonly string[]) => readonly string[];
}

type Pair = Readonly<Record<"prefill" | "decode", string>>;

function modes(pair: Pair): readonly Mode[] {
  const distServe = ["--serving-strategy", "DistServe"];
  return [
    {
      title: "Hybrid",
      works: ["json", "stream"],
      flags: (nodes) => nodes.flatMap((node) => ["--node", node]),
    },
    {
      title: "dummy prefill",
      works: ["json", "stream"],
      flags: (nodes) => [
        ...[...distServe, "--dummy-prefill"],
        ...nodes.flatMap((node) => ["--decode", node]),
      ],
    },
    {
      title: "both steps",
      works: ["json"],
      flags: () => [...distServe, "--prefill", pair.prefill, "--decode", pair.decode],
    },
  ];
}

function contestantOf({ title, flags }: Mode, command: readonly string[]): Contestant {
  return {
    name: title.replaceAll(" ", "-"),
    title,
    settings: "the defaults, `random` strategy, log of errors only",
    version: async () => "",
    prepare: async ({ port, nodes }) => ({
      command: [
        ...command,
        ...["serve", "--host", "127.0.0.1", "--port", String(port), "--strategy", "random"],
        ...["--log-level", "error", "--disable-cache-status", ...flags(nodes)],
      ],
    }),
    exactBytes: true,
    watchesNodes: true,
    startTimeoutMs: 10_000,
  };
}

async function startPair(core: number | null): Promise<Pair> {
  const script = join(import.meta.dir, "pair-engine.ts");
  const child = spawnPinned([process.execPath, script], { core, stdin: "pipe", stdout: "pipe" });
  if (!(child.stdout instanceof ReadableStream)) throw new Error("the engines have no stdout");
  const { value } = await child.stdout.getReader().read();
  return JSON.parse(new TextDecoder().decode(value));
}

const perRequestUs = ({ cpuUs, requests }: Measured): number => cpuUs / requests;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      help: { type: "boolean", short: "h" },
      rounds: { type: "string", default: "5" },
      seconds: { type: "string", default: "3" },
      lmproxy: { type: "string" },
    },
  });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  killAllAtExit();
  const built = values.lmproxy ?? join(ROOT, "lmproxy");
  const command = existsSync(built) ? [built] : [process.execPath, join(ROOT, "src/main.ts")];
  console.error(`measuring ${command.join(" ")}`);
  const cores = chooseCores();
  const laboratory = await Laboratory.open(cores, 1, 0);
  const all = modes(await startPair(cores.engine));
  const window = { warmMs: 1_000, measureMs: Number(values.seconds) * 1e3 };
  try {
    for (const work of WORKS) {
      const field = all.filter(({ works }) => works.includes(work.name));
      const figures = new Map<Mode, number[]>(field.map((mode) => [mode, []]));
      for (let round = 0; round < Number(values.rounds); round += 1) {
        const order = [
          ...field.slice(round % field.length),
          ...field.slice(0, round % field.length),
        ];
        for (const mode of order) {
          const contestant = contestantOf(mode, command);
          const cell = await runCell(laboratory, contestant, work, window, cores.contestant);
          if (cell.measured === undefined || cell.problem !== null) {
            throw new Error(`${mode.title}, ${work.name}: ${cell.problem}`);
          }
          figures.get(mode)?.push(perRequestUs(cell.measured));
        }
      }
      print(work, figures);
    }
  } finally {
    await laboratory.close();
  }
  return 0;
}

/** Medians, and the ratio to Hybrid in the same round: median, lowest and highest. */
function print(work: Work, figures: ReadonlyMap<Mode, readonly number[]>): void {
  const [hybrid = []] = figures.values();
  console.log(`\n${work.title}\n`);
  console.log("| mode | CPU of the proxy, µs a request | ratio to Hybrid |");
  console.log("| --- | --- | --- |");
  for (const [{ title }, values] of figures) {
    const cost = spreadOf(values);
    const ratio = spreadOf(values.map((value, round) => value / (hybrid[round] ?? Number.NaN)));
    if (cost === null || ratio === null) continue;
    const shown = [ratio.median, ratio.min, ratio.max].map((each) => each.toFixed(2));
    console.log(
      `| ${title} | ${cost.median.toFixed(0)} | ${shown[0]} (${shown[1]} to ${shown[2]}) |`,
    );
  }
}

if (import.meta.main) process.exit(await main());
