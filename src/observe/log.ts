import { configureSync, getLogger, type LogLevel, type LogRecord } from "@logtape/logtape";
import { drawLine, type Fields, type LineFormat, type LineLevel } from "./line-format.ts";

export type { LogLevel };

/** Where events are said. A message is a fixed text; what varies stands in the fields. */
export interface EventLog {
  debug(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  warning(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields): void;
}

/** From the least severe on. */
export const LOG_LEVELS = [
  "trace",
  "debug",
  "info",
  "warning",
  "error",
  "fatal",
] as const satisfies readonly LogLevel[];

/** Where lines go. */
export interface Sink {
  readonly write: (line: string) => void;
  /** Lines that nobody will read. */
  readonly lost: number;
}

export interface LogOptions {
  /** Events below it are not logged. */
  readonly level: LogLevel;
  readonly format: LineFormat;
  readonly sink: Sink;
}

/** The log, whose level and format may change while it runs. */
export class Log implements EventLog {
  readonly #logger = getLogger("lmproxy");
  readonly #sink: Sink;
  #level: LogLevel;
  format: LineFormat;

  /** Begins logging, one line an event. */
  constructor({ level, format, sink }: LogOptions) {
    this.#sink = sink;
    this.#level = level;
    this.format = format;
    this.level = level;
  }

  /** For lines that are drawn elsewhere. */
  readonly write = (line: string): void => this.#sink.write(line);

  /** Lines that nobody will read. */
  get linesLost(): number {
    return this.#sink.lost;
  }

  /** Whether lines of this level are logged. */
  logs(level: LineLevel): boolean {
    return LOG_LEVELS.indexOf(level) >= LOG_LEVELS.indexOf(this.#level);
  }

  get level(): LogLevel {
    return this.#level;
  }

  set level(level: LogLevel) {
    this.#level = level;
    configureSync({
      reset: true,
      sinks: { lines: (record) => this.write(this.#draw(record)) },
      loggers: [
        { category: "lmproxy", lowestLevel: level, sinks: ["lines"] },
        { category: ["logtape", "meta"], lowestLevel: "warning", sinks: ["lines"] },
      ],
    });
  }

  debug(message: string, fields: Fields = {}): void {
    this.#logger.debug(message, fields);
  }

  info(message: string, fields: Fields = {}): void {
    this.#logger.info(message, fields);
  }

  warning(message: string, fields: Fields = {}): void {
    this.#logger.warn(message, fields);
  }

  error(message: string, fields: Fields = {}): void {
    this.#logger.error(message, fields);
  }

  #draw({ level, rawMessage, properties, timestamp }: LogRecord): string {
    const text = typeof rawMessage === "string" ? rawMessage : rawMessage.join("");
    return drawLine(this.format, timestamp, lineLevel(level), text, asFields(properties));
  }
}

function lineLevel(level: LogLevel): LineLevel {
  if (level === "trace") return "debug";
  return level === "fatal" ? "error" : level;
}

/** What is no plain value, as only LogTape's own events have, is shown as JSON. */
function asFields(properties: Record<string, unknown>): Fields {
  return Object.fromEntries(
    Object.entries(properties).map(([name, value]) => [name, asValue(value)]),
  );
}

function asValue(value: unknown): string | number | boolean | null {
  if (value === null || value === undefined) return null;
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") {
    return value;
  }
  return value instanceof Error ? (value.stack ?? value.message) : (JSON.stringify(value) ?? null);
}

/** Logs an error that nobody expected, and that ends nothing. */
export function logUnexpected(log: EventLog, error: unknown): void {
  const trace = error instanceof Error ? (error.stack ?? error.message) : Bun.inspect(error);
  log.error("unexpected error; the proxy goes on", { error: trace });
}
