import { ProxyError } from "../core/errors.ts";

/** What clients' bodies may take together: one more is refused instead of ending the process. */
export class BodyMemory {
  readonly #mostBytes: number;
  readonly #flag: string | null;
  #takenBytes = 0;

  /** @param flag The flag that raises `mostBytes`, if one does. */
  constructor(mostBytes: number, flag: string | null) {
    this.#mostBytes = mostBytes;
    this.#flag = flag;
  }

  get state(): { readonly takenBytes: number; readonly limitBytes: number } {
    return { takenBytes: this.#takenBytes, limitBytes: this.#mostBytes };
  }

  /** Whether little is taken, also with `bytes` more: then they need not be counted as they come. */
  hasPlenty(bytes: number): boolean {
    return this.#takenBytes + bytes <= this.#mostBytes / 4;
  }

  /**
   * Counts `bytes` more, until they are given back.
   * @throws ProxyError service_unavailable when there is no room for them, and counts none.
   */
  take(bytes: number): void {
    if (this.#takenBytes + bytes > this.#mostBytes) {
      const advice = this.#flag === null ? "try again" : `try again, or raise ${this.#flag}`;
      throw new ProxyError(
        "service_unavailable",
        `The bodies of other requests fill the ${this.#mostBytes} bytes there are for them; ${advice}.`,
        {
          retryAfterS: 1,
          rejection: "memory",
          proxyErrorType: "proxy_internal_response",
        },
      );
    }
    this.#takenBytes += bytes;
  }

  give(bytes: number): void {
    this.#takenBytes -= bytes;
  }
}
