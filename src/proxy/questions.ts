import type { Config } from "../config/serve-config.ts";
import { loggedNode } from "../core/pool/node.ts";
import type { Log } from "../observe/log.ts";
import { HealthProber } from "../upstream/health-prober.ts";
import { MetricsPoller } from "../upstream/metrics-poller.ts";
import type { Questions } from "../upstream/probe-rounds.ts";

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
