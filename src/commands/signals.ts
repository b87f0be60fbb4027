/** Resolves at the first SIGINT, SIGTERM or SIGHUP; from then on they have their usual effect again. */
export function untilSignal(): Promise<NodeJS.Signals> {
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  return new Promise((resolve) => {
    const listener = (signal: NodeJS.Signals) => {
      for (const name of signals) process.off(name, listener);
      resolve(signal);
    };
    for (const name of signals) process.on(name, listener);
  });
}
