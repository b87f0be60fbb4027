import type { Config } from "../config/serve-config.ts";
import type { Clock } from "../core/clock.ts";
import { loggedNode } from "../core/pool/node.ts";
import type { Registry } from "../core/pool/registry.ts";
import type { Log } from "../observe/log.ts";
import type { Fetch } from "../upstream/forward.ts";
import { HealthProber } from "../upstream/health-prober.ts";
import { MetricsPoller } from "../upstream/metrics-poller.ts";

/** What everybody who asks engines something on the proxy's own account needs. */
export interface Questions {
  readonly registry: Registry;
  readonly headers: Readonly<Record<string, string>>;
  readonly fetch: Fetch;
  readonly clock: Clock;
  readonly random: () => number;
  readonly onError: (error: unknown) => void;
}

export function createProber(config: Config, questions: Questions): HealthProber {
  return new HealthProber({
    ...questions,
    intervalMs: config.healthIntervalMs,
    timeoutMs: config.healthTimeoutMs,
    path: config.healthPath,
  });
}

export function createPoller(config: Config, questions: Questions, log: Log): MetricsPoller {
  return new MetricsPoller({
    ...questions,
    intervalMs: config.metricsIntervalMs,
    onNoUsage: (node, reason) =>
      log.warning("KV-cache usage unknown", { ...loggedNode(node), reason }),
  });
}
