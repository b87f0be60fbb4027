import ipaddr from "ipaddr.js";
import type { Clock } from "../core/clock.ts";
import { classify } from "./attempt.ts";

/** Linux's tables of TCP sockets, one a line: https://docs.kernel.org/networking/proc_net_tcp.html */
const TABLES = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
/** The state of a socket that waits for its connection. */
const SYN_SENT = "02";

/** Tells whether nodes accept TCP connections; checks of one node that coincide are one. */
export class TcpCheck {
  readonly #after: Clock["after"];
  readonly #underWay = new Map<string, Promise<boolean>>();

  /** @param after See `Clock`. */
  constructor(after: Clock["after"]) {
    this.#after = after;
  }

  /**
   * Whether a connection to the host and port of `url` stands within `limitMs`; also when it is this
   * machine that can make none. Never rejects.
   */
  reachable(url: string, limitMs: number): Promise<boolean> {
    const running = this.#underWay.get(url);
    if (running !== undefined) return running;
    const check = connects(new URL(url), limitMs, this.#after).finally(() =>
      this.#underWay.delete(url),
    );
    this.#underWay.set(url, check);
    return check;
  }

  /**
   * How many of this machine's connections to the host and port of `url` do not stand yet: all that
   * there may be, where no such tables are. Never rejects.
   */
  async connecting(url: string): Promise<number> {
    if (process.platform !== "linux") return Number.POSITIVE_INFINITY;
    const { host, port } = endpointOf(new URL(url));
    // What cannot be read (no file left to open, IPv6 switched off) says nothing.
    const texts = await Promise.all(
      TABLES.map((path) =>
        Bun.file(path)
          .text()
          .catch(() => ""),
      ),
    );
    return texts.reduce((sum, text) => sum + countConnecting(text, host, port), 0);
  }
}

/**
 * Sockets of a table that wait for a connection to `port` of `host`.
 * @param host An address, or a name: then any host counts.
 */
export function countConnecting(table: string, host: string, port: number): number {
  const address = ipaddr.isValid(host) ? hexOf(host) : null;
  const portHex = port.toString(16).toUpperCase().padStart(4, "0");
  let count = 0;
  for (const line of table.split("\n")) {
    const [, , remote = "", state] = line.trim().split(/\s+/);
    const [to = "", toPort] = remote.split(":");
    if (state === SYN_SENT && toPort === portHex && (address === null || to === address))
      count += 1;
  }
  return count;
}

/** As the tables have it: words of four bytes, each with its last byte first. */
function hexOf(host: string): string {
  const bytes = ipaddr.process(host).toByteArray();
  const hex = bytes.map((byte) => byte.toString(16).toUpperCase().padStart(2, "0"));
  const words = Array.from({ length: hex.length / 4 }, (_, i) => hex.slice(4 * i, 4 * i + 4));
  return words.map((word) => word.toReversed().join("")).join("");
}

function endpointOf({ hostname, port, protocol }: URL): { host: string; port: number } {
  return {
    host: hostname.replace(/^\[|\]$/g, ""),
    port: Number(port) || (protocol === "https:" ? 443 : 80),
  };
}

async function connects(url: URL, limitMs: number, after: Clock["after"]): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const cancel = after(limitMs, () => resolve(false));
  const { host: hostname, port } = endpointOf(url);
  const socket = Bun.connect({
    hostname,
    port,
    socket: {
      open: () => resolve(true),
      connectError: (_, error) => resolve(classify(error).kind === "ours"),
      data: () => {},
      error: () => resolve(false),
    },
  });
  try {
    return await promise;
  } finally {
    cancel();
    void socket.then((opened) => opened.terminate()).catch(() => {});
  }
}
