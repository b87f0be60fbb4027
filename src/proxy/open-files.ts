import { OpenFiles } from "../http/open-files.ts";
import type { EventLog } from "../observe/log.ts";
import { mostFiles, openFiles } from "../observe/process-stats.ts";

/** This process's; the log tells when few are left, and when there are enough again. */
export function createOpenFiles(log: EventLog, now: () => number): OpenFiles {
  const most = mostFiles();
  return new OpenFiles({
    count: openFiles,
    most,
    now,
    onChange: (isLow, open) =>
      isLow
        ? log.warning("few open files are left: new requests are refused", { open, most })
        : log.info("there are enough open files again", { open, most }),
  });
}
