import type { Exchange } from "../core/exchange.ts";
import { drawLine, type LineFormat, type LineLevel } from "./line-format.ts";
import { requestFields } from "./request-line.ts";
import { levelOf } from "./request-outcome.ts";

/** Which requests get a line: none, those that went wrong, those and the ones that took so many ms, all. */
export type AccessLog = "off" | "errors" | "all" | number;

export interface RequestLogOptions {
  readonly which: AccessLog;
  readonly format: () => LineFormat;
  /** Whether lines of this level are logged at all. */
  readonly logs: (level: LineLevel) => boolean;
  readonly write: (line: string) => void;
  /** Wall clock, ms since 1970. */
  readonly wallMs: () => number;
}

/**
 * One line a request, at its end. Not by the log's library: for so many fields it takes ten times as
 * long, on every request.
 */
export class RequestLog {
  readonly #options: RequestLogOptions;

  constructor(options: RequestLogOptions) {
    this.#options = options;
  }

  /** A request has ended. */
  readonly ended = (exchange: Exchange): void => {
    if (!this.#isWanted(exchange)) return;
    const { format, write, wallMs } = this.#options;
    const fields = requestFields(exchange);
    write(drawLine(format(), wallMs(), levelOf(exchange), "request", fields));
  };

  #isWanted(exchange: Exchange): boolean {
    const { which, logs } = this.#options;
    if (!logs(levelOf(exchange))) return false;
    if (which === "all") return true;
    if (which === "off") return false;
    if (levelOf(exchange) === "warning") return true;
    return which !== "errors" && (exchange.endedAtMs ?? 0) - exchange.beganAtMs >= which;
  }
}
