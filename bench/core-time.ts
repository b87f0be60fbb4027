import { readFileSync } from "node:fs";

/** What /proc/stat counts in. */
const TICK_US = 10_000;

/**
 * Time in µs that cores have been busy since the machine started, whoever used them, time stolen by
 * a hypervisor included.
 *
 * @param cores their numbers; none: all of them
 */
export function readBusyUs(cores: readonly number[]): number {
  let busyTicks = 0;
  for (const line of readFileSync("/proc/stat", "latin1").split("\n")) {
    const [name = "", ...fields] = line.split(/\s+/);
    const core = /^cpu(\d+)$/.exec(name)?.[1];
    if (core === undefined || (cores.length > 0 && !cores.includes(Number(core)))) continue;
    // user, nice, system, idle, iowait, irq, softirq, steal; guests are part of user.
    const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] =
      fields.map(Number);
    busyTicks += user + nice + system + irq + softirq + steal;
  }
  return busyTicks * TICK_US;
}
