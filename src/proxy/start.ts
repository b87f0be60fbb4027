import type { Config } from "../config/serve-config.ts";
import { requestId } from "../core/request-id.ts";
import { createApp } from "../http/app.ts";
import { errorResponse, unexpectedError } from "../http/error-response.ts";
import { front } from "../http/front.ts";
import { RouteTable } from "../http/routes/table.ts";
import { LineSink } from "../observe/line-sink.ts";
import { type EventLog, Log, logUnexpected } from "../observe/log.ts";
import type { Traces } from "../observe/traces.ts";
import { openStateFile, type Warn } from "../state/file.ts";
import { assemble, CLOCK, keepAliveS, RANDOM } from "./assemble.ts";
import { lineFormat } from "./effective.ts";
import { joinNodes } from "./join-nodes.ts";
import { startMetricsServer } from "./metrics-server.ts";
import { routesOf } from "./routes.ts";
import { tlsOf } from "./tls.ts";

/** A proxy that serves. */
export interface RunningProxy {
  readonly url: string;
  readonly port: number;
  /** How many nodes it knew when it began to listen. */
  readonly nodes: number;
  readonly log: EventLog;
  /** Logs an error that nobody expected. */
  readonly report: (error: unknown) => void;
  /** Takes nothing new, lets what runs finish within the drain time limit, then ends. */
  drain(): Promise<void>;
  /** Ends at once: open requests are cut. */
  stop(): Promise<void>;
}

/** What may wait for a slow reader of the log, characters. */
const LOG_WAITS_CHARACTERS = 1024 * 1024;

/** Puts the proxy together and starts it. Throws what `Bun.serve` throws, such as EADDRINUSE. */
export async function startProxy(config: Config): Promise<RunningProxy> {
  const sink = new LineSink({
    output: Bun.stderr.writer(),
    mostWaiting: LOG_WAITS_CHARACTERS,
    soon: CLOCK.soon,
  });
  const log = new Log({
    level: config.logLevel,
    format: lineFormat(config),
    sink,
  });
  const warn: Warn = (message, details) => log.warning(message, details);
  const stateFile = config.statePath === null ? null : openStateFile(config.statePath, { warn });
  const traces = await tracesOf(config, log);
  const listening = {
    port: () => server.port ?? config.port,
    pendingRequests: () => server.pendingRequests,
    server: () => server,
  };
  const { services, lifecycle, workers } = assemble(config, log, listening, traces);
  const { nodePolicy, random, registry, mode } = services;
  const routes = routesOf(config);
  const table = new RouteTable(routes);
  const app = createApp(routes, table, services);
  const server: Bun.Server<undefined> = Bun.serve({
    hostname: config.host,
    port: config.port,
    development: false,
    // Bun 1.4.5 would share the port with another process.
    reusePort: false,
    idleTimeout: keepAliveS(config),
    // Bun would refuse without an envelope; `readBody` keeps to the limits.
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    ...tlsOf(config),
    fetch: front({ table, random, answer: (request) => app.fetch(request) }),
    error: (error) => lastResort(error, log, random),
  });
  app.server = server;
  const metricsServer =
    config.metricsPort === null
      ? null
      : startMetricsServer(config.metricsHost, config.metricsPort, services.metricsPage);
  if (metricsServer !== null) log.info("metrics are open to anybody", { url: metricsServer.url });
  for (const worker of workers) worker.start();
  const sources = joinNodes(config, registry, nodePolicy, mode, stateFile, warn);
  async function stop(): Promise<void> {
    sources.stop();
    for (const worker of workers) worker.stop();
    await server.stop(true);
    await metricsServer?.stop();
    await stateFile?.close();
    await traces?.stop();
    await sink.flush();
  }
  return {
    url: server.url.origin,
    port: server.port ?? config.port,
    nodes: registry.nodes().length,
    log,
    report: (error) => logUnexpected(log, error),
    stop,
    async drain() {
      await lifecycle.drain();
      await stop();
    },
  };
}

/** Loaded only when there are any. */
async function tracesOf(config: Config, log: EventLog): Promise<Traces | null> {
  if (config.traces === null) return null;
  const { Traces } = await import("../observe/traces.ts");
  const { to, ...options } = config.traces;
  const { protocol, sampler, ratio } = options;
  log.info("traces are sent", { to, protocol, sampler, ratio });
  return new Traces({ ...options, clock: CLOCK, random: RANDOM, log });
}

/** Nothing should arrive here; what does must not end the process or show its inside. */
function lastResort(error: Error, log: EventLog, random: () => number): Response {
  const id = requestId(new Headers(), random);
  return errorResponse(unexpectedError(error, log, { id, path: "" }), "openai", id);
}
