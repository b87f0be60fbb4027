/** What `lmproxy serve` does when it was given --workers: it starts them and keeps them running. */
import { version } from "../../package.json";
import { usableCores } from "../cluster/cpus.ts";
import type { Spawn, Spawned } from "../cluster/member.ts";
import type { Note } from "../config/note.ts";
import type { Config } from "../config/serve-config.ts";
import { errorMessage } from "../core/thrown.ts";
import { startControl } from "../proxy/control.ts";
import type { Rereading } from "../proxy/reload.ts";
import type { Surroundings } from "./command.ts";
import { Minder } from "./minder.ts";
import { ignore, type OnSignal, untilSignal } from "./signals.ts";
import { spawnWorker } from "./spawn-worker.ts";
import { startWarnings, welcome } from "./welcome.ts";

export interface SuperviseOptions {
  readonly argv: readonly string[];
  readonly notes: readonly Note[];
  readonly print: Surroundings["print"];
  readonly rereading: Rereading;
  readonly onSignal: OnSignal;
}

const ENDING = ["SIGINT", "SIGTERM"] as const;

/** Resolves with the exit code. @throws what `startControl` throws, and WorkersError */
export async function supervise(
  config: Config,
  workers: number | "auto",
  { argv, notes, print, rereading, onSignal }: SuperviseOptions,
): Promise<number> {
  const count = workers === "auto" ? usableCores() : workers;
  const minder = new Minder(argv);
  const workersRunning = new Set<Spawned>();
  const spawn: Spawn = (receive) => {
    const child = spawnWorker(receive);
    workersRunning.add(child);
    void child.exited.then(() => workersRunning.delete(child));
    return child;
  };
  const first = untilSignal(ENDING);
  let isUp = false;
  void first.then((signal) => {
    if (!isUp) dieOf(signal);
  });
  const options = { count, spawn, rereading, startSuccessor: minder.start };
  const proxy = await startControl(config, options).catch((error: unknown) => {
    minder.tell(errorMessage(error));
    throw error;
  });
  isUp = true;
  onSignal("SIGHUP", proxy.reload);
  ignore(["SIGUSR1"], onSignal, (text) => proxy.log.warning(text));
  process.on("uncaughtException", proxy.report);
  process.on("unhandledRejection", proxy.report);
  const ended = Promise.race([first, minder.told]);
  let cutBy: NodeJS.Signals | null = null;
  // A second one ends a process at once, and workers would go on without it.
  void first
    .then(() => untilSignal(ENDING))
    .then((signal) => {
      cutBy = signal;
      for (const worker of workersRunning) worker.kill();
    });
  onSignal("SIGUSR2", () => {
    proxy.upgrade("workers").then(
      (versions) => proxy.log.info("upgraded", versions),
      (error: Error) => proxy.log.error("not upgraded", { reason: error.message }),
    );
  });
  await print(welcome(version, config, { ...proxy, workers: count }));
  for (const { level, text } of notes) proxy.log[level](text, {});
  for (const warning of startWarnings(config)) proxy.log.warning(warning, {});
  let isReplaced: boolean;
  try {
    isReplaced = await Promise.race([
      ended.then(() => false),
      proxy.failed,
      proxy.replaced.then(() => true),
    ]);
  } catch (error) {
    await proxy.stop();
    throw error;
  }
  minder.handOn(isReplaced);
  await proxy.drain(ended);
  const code = await minder.ended();
  if (cutBy !== null) process.kill(process.pid, cutBy);
  // Of one that came too late to take our place it says nothing of us.
  return isReplaced ? code : 0;
}

/** Ends as whoever knows no signals does, once what is shared is put away, as at every exit. Workers end when they see it. */
function dieOf(signal: NodeJS.Signals): void {
  process.once("exit", () => process.kill(process.pid, signal));
  process.exit();
}
