import { answersShortRequest } from "./cell.ts";
import type { Contestant } from "./contestants.ts";
import { freePort, killTree, removeScratch, scratchDirectory, spawnPlain } from "./host.ts";
import type { Laboratory } from "./laboratory.ts";
import { treeMemoryBytes } from "./process-tree.ts";
import type { Start } from "./raw.ts";

const SETTLE_MS = 2_000;

/**
 * Starts a contestant as a user would, with nothing before its command line, and takes the time to
 * its first 200; then leaves it alone and looks at its memory. It has been started once before, so
 * that its files are in memory: a disk is not what is compared.
 */
export async function measureStart(
  laboratory: Laboratory,
  contestant: Contestant,
): Promise<Omit<Start, "round">> {
  await startOnce(laboratory, contestant, 0);
  return await startOnce(laboratory, contestant, SETTLE_MS);
}

async function startOnce(
  laboratory: Laboratory,
  contestant: Contestant,
  settleMs: number,
): Promise<Omit<Start, "round">> {
  const directory = scratchDirectory(`start-${contestant.name}`);
  const port = freePort();
  const nodes = laboratory.nodeUrls(1, 0);
  const { command, env } = await contestant.prepare({ port, nodes, directory });
  const startMs = performance.now();
  const child = spawnPlain(command, env);
  try {
    const endMs = startMs + contestant.startTimeoutMs;
    const since = (reachedMs: number | null) => (reachedMs === null ? null : reachedMs - startMs);
    const answered = await untilTrue(
      () => answersHealth(port, contestant.healthPath ?? "/health"),
      endMs,
    );
    const forwarded = await untilTrue(() => answersShortRequest(port), endMs);
    await Bun.sleep(settleMs);
    return {
      contestant: contestant.name,
      firstAnswerMs: since(answered),
      firstForwardedMs: since(forwarded),
      idleBytes: treeMemoryBytes(child.pid, "VmRSS"),
    };
  } finally {
    await killTree(child);
    removeScratch(directory);
  }
}

async function untilTrue(attempt: () => Promise<boolean>, endMs: number): Promise<number | null> {
  while (performance.now() < endMs) {
    if (await attempt()) return performance.now();
    await Bun.sleep(1);
  }
  return null;
}

/** One attempt over a raw socket: an HTTP client that backs off would hide the first answer. */
function answersHealth(port: number, path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      open(socket) {
        socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n`);
      },
      data(socket, data) {
        resolve(data.toString("latin1", 0, 12) === "HTTP/1.1 200");
        socket.terminate();
      },
      close: () => resolve(false),
      connectError: () => resolve(false),
    },
  }).catch(() => resolve(false));
  return promise;
}
