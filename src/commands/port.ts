/** Finding out about a port before anything is started on it. */
import { listenError } from "./listen-error.ts";

export interface WantedPort {
  /** What will listen there, for the message: "proxy". */
  readonly what: string;
  /** The flag that chooses another. */
  readonly flag: string;
  readonly port: number;
}

/**
 * The port if nothing listens there; a free one for 0.
 *
 * @throws CommandError that names the port and the flag
 */
export function claimPort(host: string, { what, flag, port }: WantedPort): number {
  try {
    const probe = Bun.listen({ hostname: host, port, socket: { data() {} } });
    const { port: found } = probe;
    probe.stop(true);
    return found;
  } catch (error) {
    throw listenError(error, { what, flag, host, port });
  }
}
