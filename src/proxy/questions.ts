import type { Config } from "../config/serve-config.ts";
import { loggedNode } from "../core/pool/node.ts";
import type { Log } from "../observe/log.ts";
import { HealthProber } from "../upstream/health-prober.ts";
import { MetricsPoller } from "../upstream/metrics-poller.ts";
import { ModelDiscovery } from "../upstream/model-discovery.ts";
import type { Questions } from "../upstream/probe-rounds.ts";

/** Who asks engines how they are, what they run and what they serve. */
export function createQuestions(config: Config, questions: Questions, log: Log) {
  return {
    prober: new HealthProber({
      ...questions,
      intervalMs: config.healthIntervalMs,
      timeoutMs: config.healthTimeoutMs,
      path: config.healthPath,
    }),
    poller: new MetricsPoller({
      ...questions,
      intervalMs: config.metricsIntervalMs,
      onNoUsage: (node, reason) =>
        log.warning("KV-cache usage unknown", { ...loggedNode(node), reason }),
    }),
    discovery: new ModelDiscovery({
      ...questions,
      timeoutMs: config.healthTimeoutMs,
      onNoList: (node, reason) =>
        log.warning("models of the node not known", { ...loggedNode(node), reason }),
    }),
  };
}
