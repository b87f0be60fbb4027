/** Tells whether nodes accept TCP connections; checks of one node that coincide are one. */
export class TcpCheck {
  readonly #underWay = new Map<string, Promise<boolean>>();

  /** Whether a connection to the host and port of `url` stands within `limitMs`. Never rejects. */
  reachable(url: string, limitMs: number): Promise<boolean> {
    const running = this.#underWay.get(url);
    if (running !== undefined) return running;
    const check = connects(new URL(url), limitMs).finally(() => this.#underWay.delete(url));
    this.#underWay.set(url, check);
    return check;
  }
}

async function connects(url: URL, limitMs: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), limitMs);
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
    clearTimeout(timer);
    void socket.then((opened) => opened.terminate()).catch(() => {});
  }
}
