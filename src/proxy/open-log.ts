import type { Config } from "../config/serve-config.ts";
import { within } from "../core/clock.ts";
import { drawLine } from "../observe/line-format.ts";
import { LineSink } from "../observe/line-sink.ts";
import { Log } from "../observe/log.ts";
import { CLOCK } from "./assemble.ts";
import { lineFormat } from "./effective.ts";

/** What may wait for a slow reader, characters. */
const MOST_WAITING = 1024 * 1024;
/** What a slow reader may take for what waits when the process ends, ms. */
const LAST_LINES_MS = 2_000;

export interface OpenLog {
  readonly log: Log;
  /** Resolves when all has been written, or lost, or its reader takes too long. */
  readonly flushLog: () => Promise<void>;
}

/** Standard error, as the configuration wants it. */
export function openLog(config: Config): OpenLog {
  const sink = new LineSink({
    output: Bun.stderr.writer(),
    mostWaiting: MOST_WAITING,
    clock: CLOCK,
    gap: (lines) => {
      const what =
        "lines before this one are lost: whoever reads the log is too slow, or its disk full";
      return log.logs("warning")
        ? drawLine(log.format, CLOCK.wallMs(), "warning", what, { lines })
        : "";
    },
  });
  // A start that fails ends the process at once: what was said on the way, as that a file was set aside, is to be read.
  process.once("exit", () => void sink.flush());
  const log = new Log({ level: config.logLevel, format: lineFormat(config), sink });
  return {
    log,
    async flushLog() {
      await within(CLOCK, LAST_LINES_MS, sink.flush());
    },
  };
}
