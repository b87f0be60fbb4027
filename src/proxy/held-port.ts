import type { CertifiedKey } from "../cluster/messages.ts";
import type { Config } from "../config/serve-config.ts";
import { ListeningSocket } from "./listening-socket.ts";
import { tlsOf } from "./tls.ts";

/** A port that is nobody else's, while those who are to share it come up. */
export interface HeldPort {
  readonly port: number;
  /** One of them listens now. */
  readonly release: () => void;
}

/**
 * Listeners that share a port are refused by nobody who shares it, too: so it is first had alone.
 * @throws what `Bun.serve` throws
 */
export function holdPort(
  { host: hostname, port }: Pick<Config, "host" | "port">,
  key: CertifiedKey | null,
): HeldPort {
  const answer = { status: 503, headers: { "retry-after": "1", connection: "close" } };
  const server = Bun.serve({
    hostname,
    port,
    reusePort: false,
    ...tlsOf(key),
    fetch: () => new Response(null, answer),
  });
  const held = server.port ?? port;
  try {
    const sockets = ListeningSocket.on(held);
    for (const socket of sockets) socket.share();
    return {
      port: held,
      release() {
        for (const socket of sockets) socket.leadAway({ of: 2, at: 0 });
        void server.stop();
      },
    };
  } catch {
    // This system has no such calls: somebody may take it meanwhile.
    void server.stop(true);
    return { port: held, release: () => {} };
  }
}
