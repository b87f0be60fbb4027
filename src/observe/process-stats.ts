import { readdirSync, readFileSync, statSync } from "node:fs";

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
    openFiles: openFiles(),
    mostFiles: mostFiles(),
  };
}

/** How many files this process has open. */
export function openFiles(): number | null {
  // Linux 6.2 says it as the folder's size, for a thousandth of what listing it may cost.
  return orNull(() => statSync("/proc/self/fd").size || readdirSync("/proc/self/fd").length);
}

/** How many it may have open. */
export function mostFiles(): number | null {
  return orNull(() => {
    const limits = readFileSync("/proc/self/limits", "utf8");
    return Number(/^Max open files +(\d+)/m.exec(limits)?.[1] ?? Number.NaN);
  });
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
