/** `lmproxy lab`: strategies against modelled engines, in virtual time. */
import { availableParallelism } from "node:os";
import { isatty } from "node:tty";
import { Command } from "commander";
import { UsageError } from "../config/usage-error.ts";
import { nearestName } from "../core/nearest-name.ts";
import { STRATEGY_ALIASES } from "../core/strategies/index.ts";
import { errorMessage } from "../core/thrown.ts";
import { CONTESTANT_NAMES, contestantOf } from "../lab/contestants.ts";
import type { Row } from "../lab/measures.ts";
import { plot } from "../lab/plot.ts";
import type { Replayed } from "../lab/replay.ts";
import { runSuite, type Suite } from "../lab/suite.ts";
import { tableOf } from "../lab/table.ts";
import type { Trace } from "../lab/trace/trace.ts";
import { YARDSTICKS } from "../lab/yardsticks/index.ts";
import { hash } from "../proxy/routing.ts";
import { type Run, readArguments, type Surroundings } from "./command.ts";
import { CommandError } from "./command-error.ts";
import { defaultModel, LAB_FLAGS, LabSettings } from "./lab-flags.ts";
import {
  canBeReadAgain,
  clusterNamed,
  eventNamed,
  modelNamed,
  refuseEternity,
  traceNamed,
} from "./lab-inputs.ts";
import { inProcesses } from "./lab-processes.ts";
import { Progress } from "./lab-progress.ts";
import { laterFile } from "./later-file.ts";

/**
 * How often it is told how far the work is (every thousand requests) until garbage is collected. Left to itself the
 * heap grows to several times what lives in it, since a run never waits: 1.7 GB for a million requests instead of 0.6.
 */
const TOLD_TO_COLLECT = 10;

export const run: Run = async (argv, surroundings) => {
  const command = new Command("lmproxy lab")
    .description(
      "Replay recorded or made-up traffic against modelled engines in virtual time, strategy by strategy.",
    )
    .addHelpText("after", "\nVariables: LMPROXY_LAB_ and the first name, as LMPROXY_LAB_SEEDS.");
  const line = await readArguments(
    command,
    LAB_FLAGS,
    LabSettings,
    argv,
    surroundings,
    "LMPROXY_LAB_",
  );
  if (line === null) return 0;
  const { readFile } = surroundings;
  const { values } = line;
  const { nodes, seeds, workers, rate, closedLoop, json, plot: picture } = values;
  const events = values.events.map(eventNamed);
  const traces = orElse(values.traces, "synthetic:chat");
  const clusters = orElse(values.clusters, "equal").map((name) =>
    clusterNamed(name, nodes, events, readFile),
  );
  const models = orElse(values.models, defaultModel()).map((name) => modelNamed(name, readFile));
  const strategies = strategiesOf(values.strategies);
  const jobs = Math.min(values.jobs ?? availableParallelism(), strategies.length);
  const inputs = [...traces, ...values.clusters, ...values.models];
  const isShared = jobs > 1 && picture === null && inputs.every(canBeReadAgain);
  // Rows that come one by one to the same terminal would be written over.
  const isShown = process.stderr.isTTY === true && (isShared || !json || !isatty(1));
  using progress = new Progress(
    traces.length * clusters.length * models.length * strategies.length * seeds,
    isShown,
  );
  if (isShared) {
    const rows = await inProcesses(jobs, strategies, seeds, argv, progress);
    progress.end();
    await surroundings.print(json ? jsonOf(rows) : tableOf(rows, isOracle));
    return 0;
  }
  let told = 0;
  const tell = (what: string, share?: number) => {
    progress.at(what, share);
    told += 1;
    if (told % TOLD_TO_COLLECT === 0) Bun.gc(true);
  };
  const read: Trace[] = [];
  for (const name of traces) {
    const trace = await traceNamed(name, tell);
    refuseEternity(trace, rate);
    read.push(trace);
  }
  const suite: Suite = {
    ...{ traces: read, clusters, models, strategies, seeds, workers, rate, closedLoop, hash, tell },
    stopwatch: () => performance.now(),
  };
  const rows = await here(suite, picture, json, surroundings, progress);
  progress.end();
  if (!json) await surroundings.print(tableOf(rows, isOracle));
  return 0;
};

function isOracle(strategy: string): boolean {
  return strategy.split("+").some((one) => YARDSTICKS[one]?.isOracle === true);
}

function orElse(given: readonly string[], otherwise: string): readonly string[] {
  return given.length > 0 ? given : [otherwise];
}

/** @throws UsageError */
function strategiesOf(given: readonly string[]): readonly string[] {
  const names = given
    .flatMap((list) => list.split(","))
    .filter((name) => name !== "")
    .map((name) => name.split("+").map(unaliased).join("+"));
  for (const name of names) {
    if (contestantOf(name) !== null) continue;
    const nearest = nearestName(name, CONTESTANT_NAMES);
    const advice = nearest === undefined ? CONTESTANT_NAMES.join(", ") : `did you mean ${nearest}?`;
    throw new UsageError(`--strategies ${name}: there is no such strategy; ${advice}`);
  }
  return names.length > 0 ? [...new Set(names)] : CONTESTANT_NAMES;
}

/** Our strategies go by the names that the proxy takes, too. */
function unaliased(name: string): string {
  return Object.hasOwn(STRATEGY_ALIASES, name) ? (STRATEGY_ALIASES[name] ?? name) : name;
}

/** One row a line, so that it is an array and can be read line by line as well. */
function jsonOf(rows: readonly Row[]): string {
  return `[\n${rows.map((row) => JSON.stringify(row)).join(",\n")}\n]\n`;
}

/**
 * All runs in this process. With `json` each row is printed as soon as it is known, and whoever reads them may have
 * had enough.
 */
async function here(
  suite: Suite,
  picture: string | null,
  json: boolean,
  { print }: Surroundings,
  progress: Progress,
): Promise<Row[]> {
  const rows: Row[] = [];
  const drawn: Replayed[] = [];
  const draw = picture === null ? null : drawerOf(picture);
  let isRead = true;
  if (json) await print("[\n");
  for (const replayed of runSuite(suite)) {
    if (json)
      isRead = await print(`${rows.length > 0 ? ",\n" : ""}${JSON.stringify(replayed.row)}`);
    if (!isRead && draw === null) break;
    rows.push(replayed.row);
    if (draw !== null && replayed.row.seed === 1) drawn.push(replayed);
    progress.step(replayed.row.strategy);
  }
  if (json) await print("\n]\n");
  await draw?.(drawn);
  return rows;
}

/** What draws the picture in the end; before the work, which may take long. @throws CommandError */
function drawerOf(file: string): (runs: readonly Replayed[]) => Promise<void> {
  const failed = (error: unknown) => new CommandError(`--plot ${file}: ${errorMessage(error)}`);
  try {
    const write = laterFile(file);
    return async (runs) => {
      await write(plot(runs)).catch((error: unknown) => {
        throw failed(error);
      });
    };
  } catch (error) {
    throw failed(error);
  }
}
