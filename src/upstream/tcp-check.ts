import type { Clock } from "../core/clock.ts";

/** Tells whether nodes accept TCP connections; checks of one node that coincide are one. */
export class TcpCheck {
  readonly #after: Clock["after"];
  readonly #underWay = new Map<string, Promise<boolean>>();

  /** @param after See `Clock`. */
  constructor(after: Clock["after"]) {
    this.#after = after;
  }

  /** Whether a connection to the host and port of `url` stands within `limitMs`. Never rejects. */
  reachable(url: string, limitMs: number): Promise<boolean> {
    const running = this.#underWay.get(url);
    if (running !== undefined) return running;
    const check = connects(new URL(url), limitMs, this.#after).finally(() =>
      this.#underWay.delete(url),
    );
    this.#underWay.set(url, check);
    return check;
  }
}

async function connects(url: URL, limitMs: number, after: Clock["after"]): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const cancel = after(limitMs, () => resolve(false));
  const port = Number(url.port) || (url.protocol === "https:" ? 443 : 80);
  const hostname = url.hostname.replace(/^\[|\]$/g, "");
  const socket = Bun.connect({
    hostname,
    port,
    socket: {
      open: () => resolve(true),
      connectError: () => resolve(false),
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
