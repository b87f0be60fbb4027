/** `lmproxy serve`: the proxy. */
import { statSync } from "node:fs";
import { version } from "../../package.json";
import type { ReadFile } from "../config/resolve.ts";
import { UsageError } from "../config/usage-error.ts";
import type { Run } from "./command.ts";
import { CommandError } from "./command-error.ts";
import { readingFrom, takeHandedOn } from "./handed-on.ts";
import { listenError } from "./listen-error.ts";
import { liftFetchLimit } from "./self.ts";
import { ignore, keepSignals, untilSignal } from "./signals.ts";

export const run: Run = async (argv, { env, print, warn, readFile }) => {
  // Before anything is read: an @path may be a pipe, which can be read only once. And before more is
  // loaded: the process that takes our place has to load it again.
  if (!liftFetchLimit(["serve", ...argv], env, readFile)) {
    warn("lmproxy: cannot restart itself here; at most 256 requests are in flight at a time");
  }
  const onSignal = keepSignals();
  const { parseServeConfig } = await import("../config/serve-config.ts");
  const handedOn = takeHandedOn(env);
  // What another process started in its own place waits for nobody: who wrote into a pipe for that one has gone.
  const isStarted = process.send !== undefined;
  const readOnce = readingFrom(handedOn, isStarted ? fromFilesOnly(readFile) : readFile);
  const parsed = parseServeConfig(argv, env, readOnce);
  if (parsed.help !== null) {
    await print(parsed.help);
    return 0;
  }
  const { config, sources, notes, printOnly } = parsed;
  try {
    if (printOnly) {
      const { checkConfig } = await import("../proxy/check.ts");
      const { effective } = await import("../proxy/effective.ts");
      const { showConfig } = await import("../config/print.ts");
      await checkConfig(config, readOnce);
      for (const { text } of notes) warn(`lmproxy: ${text}`);
      await print(showConfig(effective(config), sources));
      return 0;
    }
    const readAgain = readingFrom(handedOn, fromFilesOnly(readFile));
    const rereading = {
      readFile: readAgain,
      config() {
        const again = parseServeConfig(argv, env, readAgain);
        return again.help === null ? again.config : config;
      },
    };
    if (config.workers !== null) {
      const { supervise } = await import("./supervise.ts");
      return await supervise(config, config.workers, {
        argv,
        notes,
        print,
        rereading,
        onSignal,
      });
    }
    const { startProxy } = await import("../proxy/start.ts");
    const { startWarnings, welcome } = await import("./welcome.ts");
    const proxy = await startProxy(config, rereading);
    // What nobody caught belongs to one request at most; the others must not end with it.
    process.on("uncaughtException", proxy.report);
    process.on("unhandledRejection", proxy.report);
    // Also when the terminal has gone that it was started from: a service outlives it.
    onSignal("SIGHUP", proxy.reload);
    ignore(["SIGUSR1", "SIGUSR2"], onSignal, (text) => proxy.log.warning(text));
    // Before anybody is told that it listens, and may send it signals.
    const ended = untilSignal(["SIGINT", "SIGTERM"]);
    await print(welcome(version, config, proxy));
    for (const { level, text } of notes) proxy.log[level](text, {});
    for (const warning of startWarnings(config)) proxy.log.warning(warning, {});
    await Promise.race([ended, proxy.replaced]);
    await proxy.drain(ended);
    return 0;
  } catch (error) {
    if (isMistake(error)) throw new UsageError(error.message);
    if (error instanceof Error && ["TakeoverError", "WorkersError"].includes(error.name)) {
      throw new CommandError(error.message);
    }
    const { host, port, metricsHost, metricsPort } = config;
    if (error instanceof Error && error.name === "MetricsListenError") {
      const at = { hostFlag: "--metrics-host", host: metricsHost, port: metricsPort ?? 0 };
      throw listenError(error.cause, { what: "metrics", flag: "--metrics-port", ...at });
    }
    throw listenError(error, { what: "proxy", flag: "--port", host, port });
  }
};

/** While a proxy runs it waits for nobody: whoever opens a pipe stands still until somebody writes to it. */
function fromFilesOnly(readFile: ReadFile): ReadFile {
  return (path, mostBytes) => {
    if (statSync(path).isFile()) return readFile(path, mostBytes);
    throw Object.assign(new Error(path), { code: "it is no regular file" });
  };
}

/** A mistake of whoever chose the flags, found only when they were put to use. */
function isMistake(error: unknown): error is Error {
  return error instanceof Error && ["ProxyError", "StateFileError"].includes(error.name);
}
