import { join } from "node:path";
import type { Subprocess } from "bun";
import type { Contestant } from "./contestants.ts";
import { freePort, killTree, removeScratch, scratchDirectory, spawnPinned } from "./host.ts";
import type { Laboratory } from "./laboratory.ts";
import type { Measured } from "./load.ts";
import { CHAT_PATH, CLIENT_KEY, requestBody } from "./wire.ts";
import { loadOf, type Window, type Work } from "./works.ts";

const SHORT_REQUEST = requestBody({ stream: false, chunks: 0, everyMs: 0, bodyBytes: 200 });
const LONGEST_LOG = 400;

/** A contestant that runs and has answered once. */
export interface Running {
  port: number;
  pid: number;
  stop(): Promise<void>;
}

/** @throws Error saying what the contestant said when it does not answer in time. */
export async function startContestant(
  contestant: Contestant,
  nodes: readonly string[],
  core: number | null,
): Promise<Running> {
  const directory = scratchDirectory(contestant.name);
  const port = freePort();
  const { command, env } = await contestant.prepare({ port, nodes, directory });
  const log = join(directory, "output.log");
  const child = spawnPinned(command, { core, log, ...(env ? { env } : {}) });
  const stop = async () => {
    await killTree(child);
    removeScratch(directory);
  };
  if (await untilForwarded(child, port, contestant.startTimeoutMs)) {
    return { port, pid: child.pid, stop };
  }
  const why =
    child.exitCode === null
      ? `no answer within ${contestant.startTimeoutMs} ms`
      : `ended with code ${child.exitCode}`;
  const said = (
    await Bun.file(log)
      .text()
      .catch(() => "")
  )
    .trim()
    .slice(-LONGEST_LOG);
  await stop();
  throw new Error(said ? `${why}: ${said}` : why);
}

async function untilForwarded(
  child: Subprocess,
  port: number,
  timeoutMs: number,
): Promise<boolean> {
  const endMs = performance.now() + timeoutMs;
  while (performance.now() < endMs && child.exitCode === null) {
    if (await answersShortRequest(port)) return true;
    await Bun.sleep(20);
  }
  return false;
}

export async function answersShortRequest(port: number): Promise<boolean> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}${CHAT_PATH}`, {
      method: "POST",
      body: SHORT_REQUEST,
      headers: {
        "content-type": "application/json",
        authorization: `Bearer ${CLIENT_KEY}`,
        connection: "close",
      },
      signal: AbortSignal.timeout(5_000),
    });
    return (await response.text()).includes("chat.completion") && response.status === 200;
  } catch {
    return false; // Not yet.
  }
}

/** Why what was measured does not count; null when it does. */
export function problemOf(measured: Measured): string | null {
  if (measured.failed > 0) {
    const reasons = Object.entries(measured.reasons).map(([reason, n]) => `${n} × ${reason}`);
    return `${measured.failed} failed requests (${reasons.join(", ")})`;
  }
  if (measured.unsent > 0) return `${measured.unsent} requests could not be sent at the fixed rate`;
  if (measured.requests + measured.chunks === 0) return "nothing was answered";
  return null;
}

export interface CellResult {
  problem: string | null;
  measured?: Measured;
}

/** One work of one contestant, started anew for it. */
export async function runCell(
  laboratory: Laboratory,
  contestant: Contestant,
  work: Work,
  window: Window,
  core: number | null,
): Promise<CellResult> {
  let running: Running;
  try {
    const nodes = laboratory.nodeUrls(work.nodes, work.others);
    running = await startContestant(contestant, nodes, core);
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) };
  }
  try {
    const measured = await laboratory.run(
      loadOf(work, window, {
        port: running.port,
        contestantPid: running.pid,
        enginePid: laboratory.enginePid,
        cores: laboratory.cores,
        exactBytes: contestant.exactBytes,
      }),
    );
    return { problem: problemOf(measured), measured };
  } finally {
    await running.stop();
  }
}
