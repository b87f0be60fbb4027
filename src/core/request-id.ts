/** The id that one request carries through logs, engines and answers. */

/** Where clients and proxies before us put one, best known first. */
const SOURCES = ["x-request-id", "x-correlation-id", "x-trace-id", "request-id"] as const;

/**
 * What is kept: token characters (RFC 9110 §5.6.2) and `:/=@`, nothing that could forge a log line; neither `.` nor `..`,
 * which mean something else in the path by which a request is asked about.
 */
const ACCEPTABLE = /^(?!\.{1,2}$)[-!#$%&'*+.^`|~\w:/=@]{1,128}$/;

/** Gives each request its id. */
export class RequestIds {
  readonly #sources: readonly string[];
  readonly #random: () => number;

  /**
   * @param random Numbers in [0, 1); asked twice for a new id.
   * @param first Headers that may hold an id, before those that are known.
   */
  constructor(random: () => number, first: readonly string[] = []) {
    this.#random = random;
    this.#sources = [...first, ...SOURCES];
  }

  /**
   * The client's own id from the first of its headers that has an acceptable one (1 to 128 printable
   * characters without blanks or quotes), else a new one.
   */
  of(headers: { get(name: string): string | null }): string {
    for (const source of this.#sources) {
      const id = headers.get(source);
      if (id !== null && ACCEPTABLE.test(id)) return id;
    }
    return `req-${hexDigits(this.#random())}${hexDigits(this.#random())}`;
  }
}

/** 48 bits of `fraction`, 0 to below 1, as 12 digits. */
function hexDigits(fraction: number): string {
  return Math.floor(fraction * 2 ** 48)
    .toString(16)
    .padStart(12, "0");
}
