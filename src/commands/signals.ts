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

/** What is done at a signal from now on. */
export type OnSignal = (signal: Later, act: () => void) => void;

/** Each would end a process that has yet to come up, which its sender takes for one that runs. */
const LATER = ["SIGHUP", "SIGUSR1", "SIGUSR2"] as const;
type Later = (typeof LATER)[number];

/** Keeps these signals from now on until it is said what is done then: once, if one has come by then. */
export function keepSignals(): OnSignal {
  const came = new Set<Later>();
  const keep = (signal: Later) => void came.add(signal);
  for (const signal of LATER) process.on(signal, keep);
  return (signal, act) => {
    process.on(signal, act);
    process.off(signal, keep);
    if (came.delete(signal)) act();
  };
}

/** Signals that other servers know, and what there is for them here. */
const WITHOUT_MEANING = {
  SIGUSR1: "lines go to standard error, and files of it are turned over by whoever keeps them",
  SIGUSR2:
    "it upgrades workers, and there are none; `lmproxy --takeover` starts what is installed now",
} as const;

/** From now on these do nothing but to be said by `warn`. */
export function ignore(
  signals: readonly (keyof typeof WITHOUT_MEANING)[],
  onSignal: OnSignal,
  warn: (text: string) => void,
): void {
  for (const signal of signals) {
    onSignal(signal, () => warn(`${signal} does nothing: ${WITHOUT_MEANING[signal]}`));
  }
}
