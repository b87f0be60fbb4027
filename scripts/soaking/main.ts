/** The soak: phases of faults, then the table of what became of everything. See `scripts/soak`. */
import { readdirSync, readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { seededRandom } from "../../src/sim/model/seeded-random.ts";
import { cutStreams } from "./cuts.ts";
import { leave } from "./departures.ts";
import { killEngines } from "./kills.ts";
import { runMixed } from "./mixed.ts";
import { breakEverything } from "./outage.ts";
import { keepStreams } from "./streams.ts";
import { exactly, type Figure, group, shown, Tally, tableLines } from "./tally.ts";

/** From this length on, the counted phases have their full counts; below it, in proportion. */
const FULL_MINUTES = 3;

interface Phase {
  readonly title: string;
  readonly run: () => Promise<{ tally: Tally; figures: readonly Figure[] }>;
}

function readNumber(name: string, text: string, least: number): number {
  const value = Number(text);
  if (Number.isFinite(value) && value >= least) return value;
  throw new Error(`--${name} must be a number, ${least} or more`);
}

function readOptions(argv: readonly string[]) {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      minutes: { type: "string", default: "3" },
      seed: { type: "string", default: "1" },
      streams: { type: "string", default: "0" },
      workers: { type: "string", default: "0" },
    },
  });
  return {
    minutes: readNumber("minutes", values.minutes, 0),
    seed: readNumber("seed", values.seed, 0),
    streams: readNumber("streams", values.streams, 0),
    workers: readNumber("workers", values.workers, 0),
  };
}

function phasesOf({ minutes, seed, streams, workers }: ReturnType<typeof readOptions>): Phase[] {
  const share = Math.min(1, minutes / FULL_MINUTES);
  const count = (full: number) => Math.max(20, Math.ceil(full * share));
  // Each phase has its own draws: what one of them does cannot change the next.
  const random = (phase: number) => seededRandom(seed * 10 + phase);
  const durationMs = minutes * 60_000;
  if (streams > 0) {
    const run = () => keepStreams(streams, durationMs, random(5));
    return [{ title: `${streams} streams at once`, run }];
  }
  if (workers > 0) {
    const run = () => runMixed(durationMs, random(6), workers);
    return [{ title: `mixed clients and ${workers} workers under chaos`, run }];
  }
  return [
    { title: "killing engines", run: () => killEngines(count(1_000), random(1)) },
    { title: "cutting streams", run: () => cutStreams(count(10_000), random(2)) },
    { title: "leaving", run: () => leave(count(10_000), random(3)) },
    { title: "breaking every engine", run: () => breakEverything(count(2_000)) },
    { title: "mixed clients under chaos", run: () => runMixed(durationMs, random(4)) },
  ];
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  const total = new Tally();
  const figures: Figure[] = [];
  for (const { title, run } of phasesOf(options)) {
    const startedMs = performance.now();
    const result = await run();
    const seconds = ((performance.now() - startedMs) / 1_000).toFixed(0);
    console.error(`${title}: ${group(result.tally.sent)} requests, ${seconds} s`);
    total.addAll(result.tally);
    figures.push(...result.figures);
  }
  const table: Figure[] = [
    ...figures,
    shown("requests sent", group(total.sent)),
    shown("  completed", group(total.of("completed"))),
    shown("  failed before the first byte", group(total.of("failed"))),
    shown("  broken in the stream, visibly", group(total.of("broken"))),
    shown("  left by their clients", group(total.of("left"))),
    exactly("  ended falsely", total.of("false_end"), 0),
  ];
  const { minutes, seed, streams, workers } = options;
  const again = `scripts/soak --minutes ${minutes} --seed ${seed}`;
  const more = streams > 0 ? ` --streams ${streams}` : workers > 0 ? ` --workers ${workers}` : "";
  console.log(`${again}${more}\n`);
  for (const line of tableLines(table)) console.log(line);
  return table.some(({ ok }) => ok === false) ? 1 : 0;
}

/** Engines and proxies would go on without us, some of them stopped. Linux alone tells of them. */
function endChildren(): void {
  for (const pid of childrenOf("self")) endWithAll(pid);
}

function endWithAll(pid: number): void {
  const children = childrenOf(pid);
  // Before its children, which it would replace.
  end(pid);
  for (const child of children) endWithAll(child);
}

function childrenOf(pid: number | "self"): number[] {
  try {
    const tasks = readdirSync(`/proc/${pid}/task`);
    const files = tasks.map((task) => readFileSync(`/proc/${pid}/task/${task}/children`, "utf8"));
    return files.flatMap((children) => children.split(" ").filter(Boolean).map(Number));
  } catch {
    // It has ended meanwhile.
    return [];
  }
}

function end(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    endChildren();
    process.exit(1);
  });
}
process.exit(await main().finally(endChildren));
