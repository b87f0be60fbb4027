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

/** From now on these do nothing but to be said by `warn`. */
export function ignore(
  signals: readonly (keyof typeof WITHOUT_MEANING)[],
  warn: (text: string) => void,
): void {
  for (const signal of signals) {
    process.on(signal, () => warn(`${signal} does nothing: ${WITHOUT_MEANING[signal]}`));
  }
}
