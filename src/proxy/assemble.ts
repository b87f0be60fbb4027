import { shownFlags } from "../config/print.ts";
import type { Config } from "../config/serve-config.ts";
import { parseAllowRule } from "../core/address/address-policy.ts";
import { parseCidr } from "../core/address/cidr.ts";
import { Admission } from "../core/admission/admission.ts";
import type { Clock } from "../core/clock.ts";
import { Exchanges } from "../core/exchange.ts";
import { FailingNodes } from "../core/pool/failing-nodes.ts";
import { Keepers } from "../core/pool/keepers.ts";
import { loggedNode } from "../core/pool/node.ts";
import type { Registry } from "../core/pool/registry.ts";
import { LOOK_MS } from "../core/pool/watch.ts";
import { RetryBudgets } from "../core/retry.ts";
import { NodePolicy } from "../discovery/node-policy.ts";
import { BodyMemory } from "../http/body-memory.ts";
import type { BunServer } from "../http/bun-server.ts";
import { IdleLimit } from "../http/idle-limit.ts";
import { Peers } from "../http/peers.ts";
import type { Services } from "../http/services.ts";
import { SharedQuestions } from "../http/shared-questions.ts";
import { SlowBodies } from "../http/slow-bodies.ts";
import { SseKeepalive } from "../http/sse-keepalive.ts";
import { type Log, logUnexpected } from "../observe/log.ts";
import type { Traces } from "../observe/traces.ts";
import { Connections } from "../upstream/connections.ts";
import { Deadlines } from "../upstream/deadlines.ts";
import type { Fetch } from "../upstream/forward.ts";
import { HealthProber } from "../upstream/health-prober.ts";
import { MetricsPoller } from "../upstream/metrics-poller.ts";
import { ModelDiscovery } from "../upstream/model-discovery.ts";
import { PinnedFetch } from "../upstream/pinned-fetch.ts";
import type { Upstream } from "../upstream/send.ts";
import { TcpCheck } from "../upstream/tcp-check.ts";
import { bodyMemoryBytes, effective } from "./effective.ts";
import { Keys } from "./keys.ts";
import { Lifecycle } from "./lifecycle.ts";
import { createMode } from "./mode.ts";
import { observe } from "./observe.ts";
import { Reload } from "./reload.ts";
import { createRouting } from "./routing.ts";
import { Every, type Worker } from "./worker.ts";

/** What can be asked of the server only once it listens. */
export interface Listening {
  readonly port: () => number;
  /** Requests whose answer has not left the socket yet. */
  readonly pendingRequests: () => number;
  readonly server: () => BunServer;
  /** Whether the state file is kept from other processes; null without one. */
  readonly stateLocked: () => boolean | null;
}

export interface Assembled {
  readonly services: Services;
  readonly lifecycle: Lifecycle;
  readonly workers: readonly Worker[];
}

/** The time that passes: the only one there is. */
export const CLOCK: Clock = {
  now: () => performance.now(),
  wallMs: () => Date.now(),
  after(ms, act) {
    const timer = setTimeout(act, ms);
    return () => clearTimeout(timer);
  },
  every(ms, act) {
    const timer = setInterval(act, ms);
    return () => clearInterval(timer);
  },
  soon: (act) => {
    setImmediate(act);
  },
};

/** Uniform in [0, 1): the only chance there is. */
export const RANDOM: () => number = Math.random;

/** Administration is a few lines of JSON, or thousands of model names. */
const ADMIN_BODY_BYTES = 4 * 1024 * 1024;

export interface AssembleOptions {
  readonly traces?: Traces | null;
  /** Reads the configuration once more. @throws UsageError */
  readonly reread?: () => Config;
}

/** The parts of a proxy, put together and not yet started. Time and chance are made here. */
export function assemble(
  config: Config,
  log: Log,
  listening: Listening,
  { traces = null, reread = () => config }: AssembleOptions = {},
): Assembled {
  const { now } = CLOCK;
  const random = RANDOM;
  const { registry, readPrompt, finishSession } = createRouting(config, now, random, (error) =>
    logUnexpected(log, error),
  );
  const nodePolicy = new NodePolicy({
    allow: config.allowNodes.map(parseAllowRule),
    proxyPort: listening.port,
  });
  const pinned = new PinnedFetch({
    fetch: new Connections(now).fetch,
    resolve: (hostname) => Bun.dns.lookup(hostname),
    refusal: (hostname, address, port) => nodePolicy.addressRefusal(hostname, address, port),
    clock: CLOCK,
  });
  const { fetch } = pinned;
  const upstream = createUpstream(config, registry, pinned, {
    stillServes: (node, model) => discovery.stillServes(node, model),
    isWell: (node) => prober.isWell(node),
  });
  const keys = new Keys(config);
  const { engineHeaders } = keys;
  const reload = new Reload({ config, reread, keys, log, wallMs: CLOCK.wallMs });
  const { mode, distServe } = createMode(config, upstream, engineHeaders, log);
  const onError = (error: unknown) => logUnexpected(log, error);
  const questions = { registry, headers: engineHeaders, fetch, clock: CLOCK, random, onError };
  const discovery = new ModelDiscovery({
    ...questions,
    timeoutMs: config.healthTimeoutMs,
    onNoList: (node, reason) =>
      log.warning("models of the node not known", { ...loggedNode(node), reason }),
  });
  const prober = createProber(config, questions);
  const slow = new SlowBodies(config.bodyTimeoutMs, CLOCK);
  const exchanges = new Exchanges({
    now,
    report: (error) => logUnexpected(log, error),
  });
  const idleLimit = new IdleLimit(listening.server, exchanges, CLOCK, keepAliveS(config));
  const bodyMemory = new BodyMemory(bodyMemoryBytes(config), "--max-body-memory");
  const startedAtS = Math.floor(CLOCK.wallMs() / 1_000);
  const { admission } = upstream;
  const observed = { registry, exchanges, admission, bodyMemory, log, clock: CLOCK, startedAtS };
  const leaving = () => lifecycle.leaving;
  const observing = observe(config, { ...observed, mode, leaving, reload: reload.last });
  const lifecycle = new Lifecycle({
    clock: CLOCK,
    registry,
    admission: upstream.admission,
    exchanges,
    slow,
    shutdownDelayMs: config.shutdownDelayMs,
    drainTimeoutMs: config.drainTimeoutMs,
    pendingRequests: listening.pendingRequests,
    distServe,
    live: observing.live,
    keepAliveMs: 1_000 * keepAliveS(config),
  });
  if (traces !== null) exchanges.subscribe(traces.ended);
  const services = {
    readPrompt,
    finishSession,
    keepers: new Keepers({ now, isMember: (node) => registry.get(node.url) === node }),
    exchanges,
    sseKeepalive:
      config.sseKeepaliveMs === null ? null : new SseKeepalive(config.sseKeepaliveMs, CLOCK),
    metricsPage: observing.metricsPage,
    nodeFigures: observing.nodeFigures,
    nodeFailures: observing.nodeFailures,
    explain: observing.explain,
    beginTrace: traces?.begin ?? null,
    live: observing.live,
    exposesNode: config.exposeNode,
    registry,
    discovery,
    flags: Object.fromEntries(shownFlags(effective(config)).map((row) => [row.name, row.value])),
    stateLocked: listening.stateLocked,
    log,
    now,
    random,
    engineHeaders,
    fetch,
    mode,
    nodePolicy,
    server: listening.server,
    access: keys.access,
    reload: () => reload.run(),
    peers: new Peers(listening.server, config.trustedProxies.map(parseCidr)),
    via: `1.1 lmproxy-${Math.floor(random() * 2 ** 48).toString(36)}`,
    lifecycle,
    maxHeaderBytes: config.maxHeaderBytes,
    bodyLimits: {
      maxBytes: config.maxBodyBytes,
      slow,
      soon: CLOCK.soon,
      memory: bodyMemory,
      flag: "--max-body",
    },
    adminBodyLimits: {
      maxBytes: ADMIN_BODY_BYTES,
      slow,
      soon: CLOCK.soon,
      memory: new BodyMemory(16 * ADMIN_BODY_BYTES, null),
      flag: null,
    },
    proto: config.tls === null ? ("http" as const) : ("https" as const),
    startedAtS,
    upstreamApiKey: () => keys.upstreamApiKey,
    sharedQuestions: new SharedQuestions(),
    after: CLOCK.after,
    keepAliveS: keepAliveS(config),
    as: config.as,
  };
  const workers = [
    ...observing.workers,
    prober,
    createPoller(config, questions, log),
    discovery,
    upstream.deadlines,
    new Every(LOOK_MS, CLOCK, () => registry.learning.look()),
    idleLimit,
    ...(distServe === null ? [] : [distServe]),
  ];
  return { services, lifecycle, workers };
}

/** In the whole seconds that Bun counts, 1 to 255. */
export function keepAliveS({ keepAliveMs }: Config): number {
  return Math.ceil(keepAliveMs / 1_000);
}

/** What everybody who asks engines something on the proxy's own account needs. */
interface Questions {
  readonly registry: Registry;
  readonly headers: Readonly<Record<string, string>>;
  readonly fetch: Fetch;
  readonly clock: Clock;
  readonly random: () => number;
  readonly onError: (error: unknown) => void;
}

function createProber(config: Config, questions: Questions): HealthProber {
  return new HealthProber({
    ...questions,
    intervalMs: config.healthIntervalMs,
    timeoutMs: config.healthTimeoutMs,
    path: config.healthPath,
  });
}

function createPoller(config: Config, questions: Questions, log: Log): MetricsPoller {
  return new MetricsPoller({
    ...questions,
    intervalMs: config.metricsIntervalMs,
    onNoUsage: (node, reason) =>
      log.warning("KV-cache usage unknown", { ...loggedNode(node), reason }),
  });
}

function createUpstream(
  config: Config,
  registry: Registry,
  pinned: PinnedFetch,
  questions: Pick<Upstream, "stillServes" | "isWell">,
): Upstream {
  const tcp = new TcpCheck(CLOCK.after);
  const deadlines = new Deadlines({
    clock: CLOCK,
    nodesInUse: () => registry.nodesInUse(),
    reachable: (url, limitMs) =>
      pinned.reachable(url, limitMs, (at, withinMs) => tcp.reachable(at, withinMs)),
    connecting: (url) => tcp.connecting(url),
    limits: {
      connectMs: config.connectTimeoutMs,
      firstByteMs: config.firstByteTimeoutMs,
      idleMs: config.idleTimeoutMs,
      totalMs: config.timeoutMs,
    },
  });
  return {
    ...CLOCK,
    registry,
    fetch: pinned.fetch,
    ...questions,
    failing: new FailingNodes(CLOCK.now),
    admission: new Admission(registry, {
      maxConcurrency: config.maxConcurrency ?? Number.POSITIVE_INFINITY,
      maxPerClient: config.maxConcurrencyPerClient ?? Number.POSITIVE_INFINITY,
      queueSize: config.queueSize,
      queueTimeoutMs: config.queueTimeoutMs,
      after: CLOCK.after,
    }),
    deadlines,
    budgets: new RetryBudgets(CLOCK.now),
    retryRules: { retry: config.retry, retrySent: config.retrySent },
  };
}
