/** Clients of all kinds against engines that are killed, stopped, drained and made to misbehave. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { agreement, LogFile } from "./agreement.ts";
import { causeChaos } from "./chaos.ts";
import { runClient } from "./clients.ts";
import { Cluster } from "./cluster.ts";
import { MemoryTrend } from "./memory-trend.ts";
import { exactly, type Figure, group, shown, Tally } from "./tally.ts";

const CLIENTS = 48;
const FLAGS = [
  ...["--health-interval", "0.5", "--health-timeout", "0.5", "--metrics-interval", "1"],
  // What hangs must end for the table to be drawn.
  ...["--first-byte-timeout", "5", "--idle-timeout", "5"],
];

export async function runMixed(
  durationMs: number,
  random: () => number,
  workers = 0,
): Promise<{ tally: Tally; figures: Figure[] }> {
  using log = new LogFile();
  const folder = mkdtempSync(join(tmpdir(), "lmproxy-soak-"));
  const supervised = ["--workers", `${workers}`, "--state", join(folder, "nodes.json")];
  const flags = workers > 0 ? [...FLAGS, ...supervised, "--drain-timeout", "15"] : FLAGS;
  await using cluster = await Cluster.start({ engines: 4, timeScale: 0.5, flags, log });
  const tally = new Tally();
  const trend = new MemoryTrend(cluster.proxy.process.pid);
  const endMs = performance.now() + durationMs;
  const goesOn = () => performance.now() < endMs;
  const { port } = cluster.proxy;
  const clients = Array.from({ length: CLIENTS }, () => runClient({ port, random, tally, goesOn }));
  const happened = await causeChaos(cluster, random, goesOn, workers > 0);
  await Promise.all(clients);
  rmSync(folder, { recursive: true });
  trend.stop();
  const left = await cluster.leftOver();
  const agreed = await agreement(cluster.proxy.url, log.path);
  const counted = agreed.requests;
  // Some of those that left did so before their request was there.
  const isCounted = counted <= tally.sent && counted >= tally.sent - tally.of("left");
  // Workers that are killed take with them what they have counted.
  const isExact = workers === 0;
  const isAlive = cluster.proxy.process.exitCode === null;
  const events = [...happened].map(([name, count]) => `${count} ${name}`).join(", ");
  return {
    tally,
    figures: [
      shown("chaos", events),
      exactly("  the proxy still runs", isAlive ? 1 : 0, 1),
      exactly("  counters left", left, 0),
      {
        name: "  requests in /metrics",
        value: group(counted),
        goal: `${group(tally.sent - tally.of("left"))} to ${group(tally.sent)}`,
        ok: isExact ? isCounted : null,
      },
      // With them, lines in the log were written that the counts lack.
      ...(isExact ? agreed.figures : []),
      shown("  memory growth", trend.text, "at most 5 MB/h"),
    ],
  };
}
