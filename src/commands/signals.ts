import type { EventLog } from "../observe/log.ts";

/** What ends a command that a person watches. */
const ENDING = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Resolves at the first of `signals`; from then on they have their usual effect again. */
export function untilSignal(signals: readonly NodeJS.Signals[] = ENDING): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    const listener = (signal: NodeJS.Signals) => {
      for (const name of signals) process.off(name, listener);
      resolve(signal);
    };
    for (const name of signals) process.on(name, listener);
  });
}

/** Signals that other servers know, and what there is for them here; each would end the process. */
const WITHOUT_MEANING = {
  SIGUSR1: "lines go to standard error, and files of it are turned over by whoever keeps them",
  SIGUSR2:
    "it upgrades workers, and there are none; `lmproxy --takeover` starts what is installed now",
} as const;

/** From now on these are said in the log, and do nothing else. */
export function ignore(
  signals: readonly (keyof typeof WITHOUT_MEANING)[],
  log: Pick<EventLog, "warning">,
): void {
  for (const signal of signals) {
    process.on(signal, () =>
      log.warning(`${signal} does nothing`, { advice: WITHOUT_MEANING[signal] }),
    );
  }
}
