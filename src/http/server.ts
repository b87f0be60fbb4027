import type { Config } from "../config.ts";
import { parseAllowRule } from "../core/address-policy.ts";
import { Admission } from "../core/admission.ts";
import { inCidrs, LOCAL_AND_PRIVATE, parseCidr } from "../core/cidr.ts";
import { Registry } from "../core/registry.ts";
import { requestId } from "../core/request-id.ts";
import { STRATEGIES } from "../core/strategies/index.ts";
import { type Logger, startLog } from "../observe/log.ts";
import { openStateFile, type Warn } from "../state/file.ts";
import { RetryBudgets } from "../upstream/budgets.ts";
import { Connections } from "../upstream/connections.ts";
import { Deadlines } from "../upstream/deadlines.ts";
import type { Fetch } from "../upstream/forward.ts";
import { HealthProber } from "../upstream/health-prober.ts";
import { MetricsPoller } from "../upstream/metrics-poller.ts";
import { ModelDiscovery } from "../upstream/model-discovery.ts";
import { PinnedFetch } from "../upstream/pinned-fetch.ts";
import type { Upstream } from "../upstream/send.ts";
import { TcpCheck } from "../upstream/tcp-check.ts";
import { Access } from "./access.ts";
import { createApp } from "./app.ts";
import { errorResponse, unexpectedError } from "./error-response.ts";
import { front } from "./front.ts";
import { KEEP_ALIVE_S } from "./inference-routes.ts";
import { joinNodes } from "./join-nodes.ts";
import { Lifecycle } from "./lifecycle.ts";
import { allowTable } from "./methods.ts";
import { NodePolicy } from "./node-policy.ts";
import { createServing } from "./serving.ts";

/** A proxy that serves. */
export interface RunningProxy {
  readonly url: string;
  readonly port: number;
  /** Logs an error that nobody expected. */
  readonly report: (error: unknown) => void;
  /** Takes nothing new, lets what runs finish within the drain time limit, then ends. */
  drain(): Promise<void>;
  /** Ends at once: open requests are cut. */
  stop(): Promise<void>;
}

/** Puts the proxy together and starts it. Throws what `Bun.serve` throws, such as EADDRINUSE. */
export async function startProxy(config: Config): Promise<RunningProxy> {
  const log = startLog(config.logLevel, (line) => process.stderr.write(line));
  const warn: Warn = (message, details) => log.warn(message, details);
  const stateFile = config.statePath === null ? null : openStateFile(config.statePath, { warn });
  const now = () => performance.now();
  const { random } = Math;
  const registry = createRegistry(config, now, random);
  const nodePolicy: NodePolicy = new NodePolicy({
    allow: config.allowNodes.map(parseAllowRule),
    proxyPort: () => server.port ?? config.port,
  });
  const { fetch } = new PinnedFetch({
    fetch: new Connections(now).fetch,
    resolve: (hostname) => Bun.dns.lookup(hostname),
    refusal: (hostname, address, port) => nodePolicy.addressRefusal(hostname, address, port),
    now,
  });
  const upstream = createUpstream(config, registry, fetch, now);
  const engineHeaders: Record<string, string> =
    config.upstreamApiKey === null ? {} : { authorization: `Bearer ${config.upstreamApiKey}` };
  const serving = createServing(config, upstream, engineHeaders, log);
  const questions = { registry, headers: engineHeaders, fetch, now };
  const discovery = new ModelDiscovery({ ...questions, timeoutMs: config.healthTimeoutMs });
  const workers = [
    new HealthProber({
      ...questions,
      random,
      intervalMs: config.healthIntervalMs,
      timeoutMs: config.healthTimeoutMs,
      path: config.healthPath,
    }),
    new MetricsPoller({
      ...questions,
      intervalMs: config.metricsIntervalMs,
      onNoUsage: (node, reason) => log.warn("KV-cache usage unknown", { node: node.url, reason }),
    }),
    discovery,
    upstream.deadlines,
    ...(serving.distServe === null ? [] : [serving.distServe]),
  ];
  const access = new Access({
    apiKeys: config.apiKeys,
    adminKey: config.adminKey,
    trusts: trustsOf(config),
  });
  const lifecycle = new Lifecycle({
    registry,
    admission: upstream.admission,
    drainTimeoutMs: config.drainTimeoutMs,
    pendingRequests: () => server.pendingRequests,
    distServe: serving.distServe,
  });
  const app = createApp({
    registry,
    discovery,
    access,
    log,
    now,
    random,
    engineHeaders,
    fetch,
    bodyLimits: {
      maxBytes: config.maxBodyBytes,
      timeoutMs: config.bodyTimeoutMs,
      flag: "--max-body",
    },
    proto: config.tls === null ? "http" : "https",
    startedAtS: Math.floor(Date.now() / 1_000),
    upstreamApiKey: config.upstreamApiKey,
    serving,
    nodePolicy,
    lifecycle,
  });
  logStates(registry, log);
  const server = Bun.serve({
    hostname: config.host,
    port: config.port,
    development: false,
    idleTimeout: KEEP_ALIVE_S,
    // Bun would refuse without an envelope; `readBody` keeps to the limits.
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    ...(config.tls === null
      ? {}
      : { tls: { key: Bun.file(config.tls.keyPath), cert: Bun.file(config.tls.certPath) } }),
    fetch: front({
      access,
      random,
      allowOf: allowTable(app.routes),
      answer: (request) => app.handle(request),
    }),
    error: (error) => lastResort(error, log, random),
  });
  app.server = server;
  for (const worker of workers) worker.start();
  joinNodes(config, registry, nodePolicy, serving, stateFile, warn);
  async function stop(): Promise<void> {
    for (const worker of workers) worker.stop();
    await server.stop(true);
    await stateFile?.close();
  }
  return {
    url: server.url.origin,
    port: server.port ?? config.port,
    report: (error) => log.error("unexpected error; the proxy goes on", { error: traceOf(error) }),
    stop,
    async drain() {
      await lifecycle.drain();
      await stop();
    },
  };
}

function createRegistry(config: Config, now: () => number, random: () => number): Registry {
  const { strategy, prefillStrategy, decodeStrategy } = config;
  const names = {
    Hybrid: strategy,
    Prefill: prefillStrategy ?? strategy,
    Decode: decodeStrategy ?? strategy,
  };
  return new Registry({
    now,
    random,
    strategy: (role) => STRATEGIES[names[role]],
    sampleMaxAgeMs: 3 * config.metricsIntervalMs,
    maxInFlightPerNode: config.maxConcurrencyPerNode ?? Number.POSITIVE_INFINITY,
  });
}

function createUpstream(
  config: Config,
  registry: Registry,
  fetch: Fetch,
  now: () => number,
): Upstream {
  const tcp = new TcpCheck();
  return {
    registry,
    now,
    fetch,
    admission: new Admission(registry, {
      maxConcurrency: config.maxConcurrency ?? Number.POSITIVE_INFINITY,
      maxPerClient: config.maxConcurrencyPerClient ?? Number.POSITIVE_INFINITY,
      queueSize: config.queueSize,
      queueTimeoutMs: config.queueTimeoutMs,
      after: (ms, act) => {
        const timer = setTimeout(act, ms);
        return () => clearTimeout(timer);
      },
    }),
    deadlines: new Deadlines({
      now,
      reachable: (url, limitMs) => tcp.reachable(url, limitMs),
      limits: {
        connectMs: config.connectTimeoutMs,
        firstByteMs: config.firstByteTimeoutMs,
        idleMs: config.idleTimeoutMs,
        totalMs: config.timeoutMs,
      },
    }),
    budgets: new RetryBudgets(now),
    retryRules: { retry: config.retry, retrySent: config.retrySent },
  };
}

/** Engines send no key when they register: without an admin key, peers nearby are trusted. */
function trustsOf({ trustNodes, adminKey }: Config): (peerAddress: string) => boolean {
  const nearby = adminKey === null ? LOCAL_AND_PRIVATE : [];
  const cidrs = trustNodes?.map(parseCidr) ?? nearby;
  return (peerAddress) => inCidrs(peerAddress, cidrs);
}

function logStates(registry: Registry, log: Logger): void {
  registry.subscribe({
    nodeAdded: (node) => log.info("node added", { node: node.url, role: node.role }),
    nodeRemoved: (node) => log.info("node removed", { node: node.url }),
    stateChanged: (node, from, to) =>
      log.info("node changed state", { node: node.url, from, to, reason: node.lastError }),
  });
}

function traceOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : Bun.inspect(error);
}

/** Nothing should arrive here; what does must not end the process or show its inside. */
function lastResort(error: Error, log: Logger, random: () => number): Response {
  const id = requestId(new Headers(), random);
  return errorResponse(unexpectedError(error, log, { id, path: "" }), "openai", id);
}
