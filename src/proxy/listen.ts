import type { Config } from "../config/serve-config.ts";
import type { RequestIds } from "../core/request-id.ts";
import { createApp } from "../http/app.ts";
import { errorResponse, unexpectedError } from "../http/error-response.ts";
import { front } from "../http/front.ts";
import { lastAnswers } from "../http/last-answers.ts";
import { RouteTable } from "../http/routes/table.ts";
import type { EventLog } from "../observe/log.ts";
import { type Assembled, CLOCK, keepAliveS } from "./assemble.ts";
import { IDLE_SLACK_MS } from "./lifecycle.ts";
import { Listeners, type ServeOptions } from "./listeners.ts";
import { startMetricsServer } from "./metrics-server.ts";
import { routesOf } from "./routes.ts";
import { tlsOf } from "./tls.ts";

/** Where clients reach the proxy. */
export interface Served {
  readonly listeners: Listeners;
  readonly port: number;
  /** The ports of all that listens. */
  readonly ports: readonly number[];
  /** Open requests are cut. */
  stop(): Promise<void>;
}

export interface Sharing {
  /** Whether another process of this user shares its ports with this one; else they are this one's alone. */
  readonly isShared: boolean;
  /** How long one may that leaves, ms. */
  readonly forMs: number;
}

/** @throws what `Bun.serve` throws, such as EADDRINUSE; MetricsListenError */
export function listen(
  config: Config,
  { services, lifecycle, certificate }: Assembled,
  log: EventLog,
  { isShared, forMs }: Sharing,
): Served {
  const { ids } = services;
  const origins = originsOf(config);
  const routes = routesOf(config);
  const table = new RouteTable(routes);
  const app = createApp(routes, table, services);
  const answer = front({ table, ids, origins, answer: (request) => app.fetch(request) });
  function serve({ key, port, reusePort, isFormer }: ServeOptions): Bun.Server<undefined> {
    const server: Bun.Server<undefined> = Bun.serve({
      hostname: config.host,
      port,
      development: false,
      // Bun 1.4.5 would share the port with another process.
      reusePort,
      idleTimeout: keepAliveS(config),
      // Bun would refuse without an envelope; `readBody` keeps to the limits.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      ...tlsOf(key),
      fetch: lastAnswers(answer, {
        leaves: () => isFormer() || lifecycle.retired,
        nodesMoved: () => lifecycle.nodesMoved,
        table,
      }),
      error: (error) => lastResort(error, log, ids),
    });
    app.server = server;
    return server;
  }
  const listeners = new Listeners(certificate.key, config.port, isShared, {
    serve,
    clock: CLOCK,
    lingerMs: 1_000 * keepAliveS(config) + IDLE_SLACK_MS,
    sharedForMs: forMs,
  });
  const metricsServer = startMetricsServer(config, services.metricsPage, isShared, log);
  const port = listeners.server.port ?? config.port;
  return {
    listeners,
    port,
    ports: metricsServer === null ? [port] : [port, metricsServer.port],
    async stop() {
      await listeners.stop();
      await metricsServer?.stop();
    },
  };
}

/** Null for any. */
function originsOf({ allowedOrigins }: Config): ReadonlySet<string> | null {
  return allowedOrigins.length === 0 || allowedOrigins.includes("*")
    ? null
    : new Set(allowedOrigins);
}

/** Nothing should arrive here; what does must not end the process or show its inside. */
function lastResort(error: Error, log: EventLog, ids: RequestIds): Response {
  const id = ids.of(new Headers());
  return errorResponse(unexpectedError(error, log, { id, path: "" }), "openai", id);
}
