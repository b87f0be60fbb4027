import { readFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";

export interface MachineFacts {
  cpu: string;
  cores: number;
  kernel: string;
  memoryBytes: number;
  distribution: string;
  bun: string;
  /** Load average of the last minute when the benchmark began: what else was running. */
  loadAverage: number;
}

export function machineFacts(): MachineFacts {
  const processors = cpus();
  return {
    cpu: processors[0]?.model.trim() ?? "unknown",
    cores: processors.length,
    kernel: release(),
    memoryBytes: totalmem(),
    distribution: /^PRETTY_NAME="(.*)"$/m.exec(read("/etc/os-release"))?.[1] ?? process.platform,
    bun: Bun.version,
    loadAverage: Number(read("/proc/loadavg").split(" ")[0] || Number.NaN),
  };
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
