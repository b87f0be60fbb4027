import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";

/** Cores that this process may use: those it may run on, and no more than its control group is given. */
export function usableCores(): number {
  return Math.max(1, Math.min(availableParallelism(), Math.ceil(quota())));
}

/** What control groups allow, in cores; Infinity without a limit. Versions 2 and 1 of cgroups. */
function quota(): number {
  const own = /^0::(\/.*)$/m.exec(read("/proc/self/cgroup"))?.[1] ?? "/";
  const parts = own.split("/").filter((part) => part !== "");
  // Each group above it may limit it, too.
  const folders = parts.map((_, at) => `/${parts.slice(0, at + 1).join("/")}`);
  const limits = ["", ...folders].map((folder) => {
    const [most = "", period = ""] = read(`/sys/fs/cgroup${folder}/cpu.max`).split(/\s+/);
    return cores(Number(most), Number(period));
  });
  const v1 = "/sys/fs/cgroup/cpu";
  const older = cores(
    Number(read(`${v1}/cpu.cfs_quota_us`) || Number.NaN),
    Number(read(`${v1}/cpu.cfs_period_us`)),
  );
  return Math.min(older, ...limits);
}

function cores(most: number, period: number): number {
  return most > 0 && period > 0 ? most / period : Number.POSITIVE_INFINITY;
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
