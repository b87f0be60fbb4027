import type { Fetch } from "./forward.ts";

/**
 * Servers close connections that stay idle, uvicorn (under most engines) after 5 s. A request that
 * is sent in that moment is lost, and on the only node of a model there is nobody to send it to
 * again. So no connection is used that has been idle for longer than this, ms.
 */
const LONGEST_IDLE_MS = 3_000;
/** What nobody uses any more is closed after this, s; Bun rounds it up by some seconds. */
const UNUSED_S = 4;

/** The kept-alive connections to engines. */
export class Connections {
  readonly #now: () => number;
  #session = newSession();
  #sinceMs = Number.NEGATIVE_INFINITY;

  /** @param now Monotonic clock, ms. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** fetch over these connections: straight to the engine, whatever `HTTP_PROXY` says. */
  readonly fetch: Fetch = (url, init) => {
    const nowMs = this.#now();
    // Bun's own limit is coarser than what is needed here: a young pool has no old connections.
    if (nowMs - this.#sinceMs >= LONGEST_IDLE_MS) {
      this.#session.close();
      this.#session = newSession();
      this.#sinceMs = nowMs;
    }
    return this.#session.fetch(url, init);
  };
}

function newSession(): Bun.FetchSession {
  return new Bun.FetchSession({ proxy: false, keepAlive: { idleTimeout: UNUSED_S } });
}
