import { readdirSync, readFileSync } from "node:fs";

/** What the system says of this process. Source of the names: Prometheus' own clients. */
export interface ProcessStats {
  readonly cpuS: number;
  readonly residentBytes: number;
  /** Null where the system does not say. */
  readonly openFiles: number | null;
  readonly mostFiles: number | null;
}

export function processStats(): ProcessStats {
  const { user, system } = process.cpuUsage();
  return {
    cpuS: (user + system) / 1e6,
    residentBytes: process.memoryUsage.rss(),
    openFiles: orNull(() => readdirSync("/proc/self/fd").length),
    mostFiles: orNull(() => {
      const limits = readFileSync("/proc/self/limits", "utf8");
      return Number(/^Max open files +(\d+)/m.exec(limits)?.[1] ?? Number.NaN);
    }),
  };
}

/** Not every system has `/proc`. */
function orNull(read: () => number): number | null {
  try {
    const value = read();
    return Number.isNaN(value) ? null : value;
  } catch {
    return null;
  }
}
