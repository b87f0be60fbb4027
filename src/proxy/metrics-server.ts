import type { Config } from "../config/serve-config.ts";
import { metricsResponse } from "../http/metrics-response.ts";
import type { EventLog } from "../observe/log.ts";

/** The port of the metrics could not be had; `cause` says why. */
export class MetricsListenError extends Error {
  override readonly name = "MetricsListenError";
}

/**
 * Serves `/metrics` to anybody on a port of its own; whoever may reach that port is the operator's affair. Null where
 * none is wanted.
 * @param reusePort Whether it may be another's of this user, who shares it.
 * @throws MetricsListenError
 */
export function startMetricsServer(
  { metricsHost: hostname, metricsPort: port }: Pick<Config, "metricsHost" | "metricsPort">,
  page: (openMetrics: boolean) => string | Promise<string>,
  reusePort: boolean,
  log: EventLog,
): { readonly port: number; stop(): Promise<void> } | null {
  if (port === null) return null;
  const server = listen(() =>
    Bun.serve({
      hostname,
      port,
      reusePort,
      development: false,
      routes: { "/metrics": { GET: (request) => metricsResponse(request, page) } },
      fetch: () => new Response("Metrics are at /metrics.\n", { status: 404 }),
    }),
  );
  log.info("metrics are open to anybody", { url: `${server.url.origin}/metrics` });
  return {
    port: server.port ?? port,
    stop: () => server.stop(true),
  };
}

function listen<T>(serve: () => T): T {
  try {
    return serve();
  } catch (error) {
    throw new MetricsListenError("the port of the metrics cannot be had", { cause: error });
  }
}
