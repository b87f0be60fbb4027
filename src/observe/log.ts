import {
  configureSync,
  getLogfmtFormatter,
  getLogger,
  type Logger,
  type LogLevel,
} from "@logtape/logtape";

export type { Logger, LogLevel };

/**
 * Begins logging: one line of logfmt an event on standard error, in which values are quoted, so
 * that no model name or header can forge a line.
 * @param level Events below it are not logged.
 */
export function startLog(level: LogLevel, write: (line: string) => void): Logger {
  const format = getLogfmtFormatter();
  configureSync({
    reset: true,
    sinks: { lines: (record) => write(format(record)) },
    loggers: [
      { category: "lmproxy", lowestLevel: level, sinks: ["lines"] },
      { category: ["logtape", "meta"], lowestLevel: "warning", sinks: ["lines"] },
    ],
  });
  return getLogger("lmproxy");
}

/** Logs an error that nobody expected, and that ends nothing. */
export function logUnexpected(log: Logger, error: unknown): void {
  const trace = error instanceof Error ? (error.stack ?? error.message) : Bun.inspect(error);
  log.error("unexpected error; the proxy goes on", { error: trace });
}
