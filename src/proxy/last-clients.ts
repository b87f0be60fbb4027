/**
 * The clients who connect while the proxy ends. Closing a listener resets those that wait in its accept queue, so
 * nothing new is taken before, and who had begun is still answered: that it ends.
 */
import { type Clock, pause } from "../core/clock.ts";
import { ListeningSocket, someBeginAt, someSilentAt } from "./listening-socket.ts";

const POLL_MS = 10;
/** Nobody is there in so many looks, one after the other. Looks, not a time: a process that stood still has yet to read. */
const QUIET_POLLS = 10;
/** Who takes longer is not waited for, ms. */
const LIMIT_MS = 3_000;

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
    const isAwaited = () =>
      sockets.some(({ waiting }) => waiting > 0) ||
      pendingRequests() > 0 ||
      someSilentAt(port) ||
      someBeginAt(port);
    // Another process has the port: those who are connected have been waited for.
    if (sockets.length === 0) return;
    const untilMs = clock.now() + LIMIT_MS;
    for (let quiet = 0; quiet < QUIET_POLLS && clock.now() < untilMs; quiet += 1) {
      await pause(clock, POLL_MS);
      if (isAwaited()) quiet = 0;
    }
  } catch {
    // This system has no such calls.
  }
}
