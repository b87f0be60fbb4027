import { readdirSync, readFileSync } from "node:fs";

/** What `getconf CLK_TCK` says on every Linux of today. */
const TICK_US = 10_000;
/** The kernel rounds user and system time of each process down to a tick. */
const ROUNDING_TICKS = 3;

export interface CpuReading {
  /** utime, stime, cutime and cstime of all processes of the tree, in ticks of 10 ms. */
  ticks: number;
  /** Run time of all living threads of the tree by the scheduler's own count. */
  threadsUs: number;
}

function readProc(path: string): string {
  try {
    return readFileSync(`/proc/${path}`, "latin1");
  } catch {
    return ""; // It has ended meanwhile.
  }
}

function listProc(path: string): string[] {
  try {
    return readdirSync(`/proc/${path}`);
  } catch {
    return [];
  }
}

/** Fields of /proc/PID/stat from the third on (state, ppid, …): the name before may hold spaces. */
function statFields(pid: number): string[] {
  const stat = readProc(`${pid}/stat`);
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

function childrenOf(pid: number): number[] {
  return listProc(`${pid}/task`).flatMap((thread) =>
    readProc(`${pid}/task/${thread}/children`).split(" ").filter(Boolean).map(Number),
  );
}

/** The process and all its living descendants. */
export function treeOf(root: number): number[] {
  const pids = [root];
  for (const pid of pids) pids.push(...childrenOf(pid));
  return pids;
}

export function readCpu(root: number): CpuReading {
  const reading = { ticks: 0, threadsUs: 0 };
  for (const pid of treeOf(root)) {
    const fields = statFields(pid);
    // utime, stime, and those of children that have been waited for: fields 14 to 17 of the line.
    for (const field of fields.slice(11, 15)) reading.ticks += Number(field);
    for (const thread of listProc(`${pid}/task`)) {
      const runNs = Number(readProc(`${pid}/task/${thread}/schedstat`).split(" ")[0]);
      if (Number.isFinite(runNs)) reading.threadsUs += runNs / 1e3;
    }
  }
  return reading;
}

/**
 * CPU time between two readings in µs. Ticks miss nothing but are coarse; the scheduler's count is
 * fine but loses threads that have ended: it is taken unless the ticks show more than rounding.
 */
export function cpuBetweenUs(before: CpuReading, after: CpuReading): number {
  const ticksUs = (after.ticks - before.ticks) * TICK_US;
  const threadsUs = after.threadsUs - before.threadsUs;
  return ticksUs - threadsUs > ROUNDING_TICKS * TICK_US ? ticksUs : threadsUs;
}

/** Sums a size of /proc/PID/status over the tree: VmHWM is the peak, VmRSS what is resident now. */
export function treeMemoryBytes(root: number, field: "VmHWM" | "VmRSS"): number {
  const line = new RegExp(`^${field}:\\s*(\\d+) kB`, "m");
  return treeOf(root)
    .map((pid) => Number(line.exec(readProc(`${pid}/status`))?.[1] ?? 0) * 1_024)
    .reduce((sum, bytes) => sum + bytes, 0);
}

export function openDescriptors(root: number): number {
  return treeOf(root).reduce((sum, pid) => sum + listProc(`${pid}/fd`).length, 0);
}
