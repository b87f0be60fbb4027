import { ProxyError } from "../core/errors.ts";

export interface OpenFilesOptions {
  /** How many this process has open; null where the system does not say. */
  readonly count: () => number | null;
  /** How many it may have open; null where the system does not say. */
  readonly most: number | null;
  /** Monotonic clock, ms. */
  readonly now: () => number;
  /** Told once when few are left, and once when there are enough again. */
  readonly onChange: (isLow: boolean, open: number) => void;
}

/** So many stay free for retries, probes and logs of requests that are under way; or a part of them. */
const LEAST_RESERVE = 32;
const RESERVE_SHARE = 0.05;
/** A client's connection and an engine's. */
const FILES_A_REQUEST = 2;
/** What was begun has its files open after this, ms. */
const RECOUNT_MS = 20;
/** There are enough again when nobody was refused for this long, ms. */
const CALM_MS = 10_000;

/**
 * Whether there are files for one more request: without any left, those under way lose their retries, and
 * a node its probes. They are counted only when as many requests as would fit have begun since.
 */
export class OpenFiles {
  readonly #options: OpenFilesOptions;
  readonly #limit: number;
  #counted = Number.POSITIVE_INFINITY;
  #countedAtMs = Number.NEGATIVE_INFINITY;
  #begun = 0;
  /** When a request was refused last, ms; null once it has been said that there are enough again. */
  #lowAtMs: number | null = null;

  constructor(options: OpenFilesOptions) {
    this.#options = options;
    const { most } = options;
    this.#limit =
      most === null
        ? Number.POSITIVE_INFINITY
        : most - Math.max(LEAST_RESERVE, RESERVE_SHARE * most);
  }

  /** A request is about to begin. @throws ProxyError service_unavailable when too few are left for it */
  assureSome(): void {
    this.#begun += 1;
    if (this.#fits() && this.#lowAtMs === null) return;
    const { now, count, onChange } = this.#options;
    const nowMs = now();
    if (!this.#fits() && nowMs - this.#countedAtMs >= RECOUNT_MS) {
      this.#counted = count() ?? 0;
      this.#countedAtMs = nowMs;
      this.#begun = 1;
    }
    if (this.#fits()) {
      if (this.#lowAtMs === null || nowMs - this.#lowAtMs < CALM_MS) return;
      this.#lowAtMs = null;
      onChange(false, this.#counted);
      return;
    }
    if (this.#lowAtMs === null) onChange(true, this.#counted);
    this.#lowAtMs = nowMs;
    this.#begun -= 1;
    throw new ProxyError(
      "service_unavailable",
      "The proxy has few open files left, and keeps them for the requests it has; try again. " +
        "Its operator may raise the limit (`ulimit -n`, LimitNOFILE).",
      {
        retryAfterS: 1,
        close: true,
        rejection: "files",
        proxyErrorType: "proxy_internal_response",
      },
    );
  }

  #fits(): boolean {
    return this.#counted + FILES_A_REQUEST * this.#begun <= this.#limit;
  }
}
