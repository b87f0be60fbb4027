import { type Fetch, LONGEST_IDLE_MS } from "./forward.ts";

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
