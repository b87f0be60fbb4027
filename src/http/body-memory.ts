import { ProxyError } from "../core/errors.ts";

/** What clients' bodies may take together: one more is refused instead of ending the process. */
export class BodyMemory {
  readonly #mostBytes: number;
  #takenBytes = 0;

  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
  }

  /**
   * Counts `bytes` more, until they are given back.
   * @throws ProxyError service_unavailable when there is no room for them, and counts none.
   */
  take(bytes: number): void {
    if (this.#takenBytes + bytes > this.#mostBytes) {
      throw new ProxyError(
        "service_unavailable",
        `The bodies of other requests fill the ${this.#mostBytes} bytes there are for them; try again, or raise --max-body-memory.`,
        { retryAfterS: 1, close: true },
      );
    }
    this.#takenBytes += bytes;
  }

  give(bytes: number): void {
    this.#takenBytes -= bytes;
  }
}
