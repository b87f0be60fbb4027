/** `lmproxy lab`: strategies against modelled engines, in virtual time. */
import { availableParallelism } from "node:os";
import { Command } from "commander";
import { UsageError } from "../config/usage-error.ts";
import { nearestName } from "../core/nearest-name.ts";
import { STRATEGY_ALIASES } from "../core/strategies/index.ts";
import { errorMessage } from "../core/thrown.ts";
import { CONTESTANT_NAMES, contestantOf } from "../lab/contestants.ts";
import type { Row } from "../lab/measures.ts";
import { plot } from "../lab/plot.ts";
import type { Replayed } from "../lab/replay.ts";
import { runSuite, runsOf, type Suite } from "../lab/suite.ts";
import { tableOf } from "../lab/table.ts";
import { YARDSTICKS } from "../lab/yardsticks/index.ts";
import { hash } from "../proxy/routing.ts";
import { type Run, readArguments, type Surroundings } from "./command.ts";
import { CommandError } from "./command-error.ts";
import { defaultModel, LAB_FLAGS, LabSettings } from "./lab-flags.ts";
import { clusterNamed, eventNamed, modelNamed, traceNamed } from "./lab-inputs.ts";
import { laterFile } from "./later-file.ts";
import { thisProgram } from "./self.ts";

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
  const suite: Suite = {
    traces: orElse(values.traces, "synthetic:chat").map((name) => traceNamed(name, readFile)),
    clusters: orElse(values.clusters, "equal").map((name) =>
      clusterNamed(name, nodes, events, readFile),
    ),
    models: orElse(values.models, defaultModel()).map((name) => modelNamed(name, readFile)),
    strategies: strategiesOf(values.strategies),
    seeds,
    workers,
    rate,
    closedLoop,
    hash,
    stopwatch: () => performance.now(),
  };
  const progress = new Progress(runsOf(suite));
  const jobs = Math.min(values.jobs ?? availableParallelism(), suite.strategies.length);
  const rows =
    jobs > 1 && picture === null
      ? await inProcesses(jobs, suite.strategies, argv, progress)
      : await here(suite, picture, json, surroundings, progress);
  progress.end();
  if (!json) await surroundings.print(tableOf(rows, isOracle));
  else if (jobs > 1 && picture === null) await surroundings.print(jsonOf(rows));
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

/** All runs in this process. With `json` each row is printed as soon as it is known. */
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
  if (json) await print("[\n");
  for (const replayed of runSuite(suite)) {
    if (json) await print(`${rows.length > 0 ? ",\n" : ""}${JSON.stringify(replayed.row)}`);
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

/** The strategies dealt out to several processes of this program. @throws CommandError */
async function inProcesses(
  jobs: number,
  strategies: readonly string[],
  argv: readonly string[],
  progress: Progress,
): Promise<Row[]> {
  const { file, args } = thisProgram();
  const hands = Array.from({ length: jobs }, (_, job) =>
    strategies.filter((_strategy, i) => i % jobs === job),
  );
  const children = hands.map((hand) =>
    Bun.spawn(
      [
        ...[file, ...args, "lab", ...withoutStrategies(argv)],
        ...["--strategies", hand.join(","), "--jobs", "1", "--json"],
      ],
      { stdin: "ignore", stdout: "pipe", stderr: "ignore" },
    ),
  );
  const stop = () => {
    for (const child of children) child.kill();
  };
  process.once("exit", stop);
  const rows = await Promise.all(children.map(({ stdout }) => rowsOf(stdout, progress)));
  const codes = await Promise.all(children.map(({ exited }) => exited));
  process.off("exit", stop);
  const failed = codes.find((code) => code !== 0);
  if (failed !== undefined) {
    throw new CommandError(
      `a process of the laboratory ended with exit code ${failed}; try --jobs 1`,
    );
  }
  const order = new Map(strategies.map((name, i) => [name, i]));
  return rows.flat().sort((a, b) => (order.get(a.strategy) ?? 0) - (order.get(b.strategy) ?? 0));
}

function withoutStrategies(argv: readonly string[]): string[] {
  const kept: string[] = [];
  for (let i = 0; i < argv.length; i += 1) {
    const word = argv[i] ?? "";
    if (/^--(strateg(y|ies)|jobs)$/.test(word)) i += 1;
    else if (!/^--(strateg(y|ies)|jobs)=/.test(word)) kept.push(word);
  }
  return kept;
}

async function rowsOf(stdout: ReadableStream<Uint8Array>, progress: Progress): Promise<Row[]> {
  const decoder = new TextDecoder();
  let text = "";
  let told = 0;
  for await (const chunk of stdout) {
    text += decoder.decode(chunk, { stream: true });
    const known = text.split('"strategy":').length - 1;
    for (; told < known; told += 1) progress.step();
  }
  return text === "" ? [] : JSON.parse(text);
}

/** One line on standard error, if somebody looks at it. */
class Progress {
  readonly #runs: number;
  readonly #shown = process.stderr.isTTY === true;
  #done = 0;

  constructor(runs: number) {
    this.#runs = runs;
    this.#show("");
  }

  step(what = ""): void {
    this.#done += 1;
    this.#show(what);
  }

  end(): void {
    if (this.#shown) process.stderr.write("\r\u001b[K");
  }

  #show(what: string): void {
    if (this.#shown) process.stderr.write(`\r\u001b[K${this.#done} of ${this.#runs} runs ${what}`);
  }
}
