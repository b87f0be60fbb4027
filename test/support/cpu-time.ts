/**
 * The processor's time that `act` takes, ms: the least of a few runs. Unlike the time that goes by, it is the same
 * whatever else a machine has to do.
 */
export function cpuMsOf(act: () => unknown): number {
  const runs = Array.from({ length: 3 }, () => {
    const before = process.cpuUsage();
    act();
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1_000;
  });
  return Math.min(...runs);
}

/** What it takes to look for each of so many names in a list of as many others, ms. */
export function cpuMsOfComparing(count: number): number {
  const names = (of: string) => Array.from({ length: count }, (_, at) => `${of}-${at}`);
  const [one, other] = [names("one"), names("other")];
  return cpuMsOf(() => one.some((name) => other.includes(name)));
}
