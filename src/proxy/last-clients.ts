/**
 * The clients who connect while the proxy ends. Closing a listener resets those that wait in its accept queue, so
 * nothing new is taken before, and who had begun is still answered: that it ends.
 */
import { type Clock, pause } from "../core/clock.ts";
import { ListeningSocket } from "./listening-socket.ts";

const POLL_MS = 10;
/** Who has begun to connect, which nothing tells, is there and has asked within this time after the others, ms. */
const QUIET_MS = 100;
/** Who takes longer is not waited for, ms. */
const LIMIT_MS = 1_000;

/**
 * Resolves once nobody is left who has just connected to `port`, and nobody else can; soon.
 * @param pendingRequests Those whose answer has not left its socket yet.
 */
export async function answerLastClients(
  port: number,
  pendingRequests: () => number,
  clock: Pick<Clock, "now" | "after">,
): Promise<void> {
  try {
    const sockets = ListeningSocket.on(port);
    for (const socket of sockets) socket.takeNoMore();
    const isAwaited = () => sockets.some(({ waiting }) => waiting > 0) || pendingRequests() > 0;
    // Another process has the port: those who are connected have been waited for.
    if (sockets.length === 0) return;
    const begunAtMs = clock.now();
    let busyAtMs = begunAtMs;
    for (let nowMs = begunAtMs; nowMs - begunAtMs < LIMIT_MS; nowMs = clock.now()) {
      if (isAwaited()) busyAtMs = nowMs;
      else if (nowMs - busyAtMs >= QUIET_MS) return;
      await pause(clock, POLL_MS);
    }
  } catch {
    // This system has no such calls.
  }
}
