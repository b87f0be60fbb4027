import type { Socket } from "bun";

/** A connection that does not stand by then will not, ms: on loopback it takes far less than one. */
const STALLED_MS = 300;
/** So many in a row: a busy machine may stand still for longer than that. */
const STALLED = 2;
/** More than any accept queue holds here. */
const MOST_CONNECTIONS = 5_000;

/**
 * Fills the accept queue of whoever listens on `port` and does not accept (its process is stopped),
 * so that further connections get no answer, as from a host that is gone. Returns what empties it.
 */
export async function fillAcceptQueue(port: number): Promise<() => void> {
  const sockets: Socket[] = [];
  let stalledInARow = 0;
  for (let i = 0; i < MOST_CONNECTIONS; i += 1) {
    const { promise: stalled, resolve } = Promise.withResolvers<null>();
    const timer = setTimeout(() => resolve(null), STALLED_MS);
    const connecting = Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } });
    const socket = await Promise.race([connecting, stalled]);
    clearTimeout(timer);
    if (socket !== null) {
      stalledInARow = 0;
      sockets.push(socket);
      continue;
    }
    connecting.then((late) => late.terminate()).catch(() => {});
    stalledInARow += 1;
    if (stalledInARow < STALLED) continue;
    return () => {
      for (const open of sockets) open.terminate();
    };
  }
  throw new Error(`port ${port} goes on accepting`);
}
