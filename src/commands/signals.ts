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
