import type { CertifiedKey } from "../cluster/messages.ts";
import { shownFlags } from "../config/print.ts";
import type { Config } from "../config/serve-config.ts";
import { parseAllowRule } from "../core/address/address-policy.ts";
import { parseCidr } from "../core/address/cidr.ts";
import type { Places } from "../core/admission/places.ts";
import type { Clock } from "../core/clock.ts";
import { Cohort } from "../core/cohort.ts";
import { Exchanges } from "../core/exchange.ts";
import type { KeptSessions } from "../core/knowledge/sessions.ts";
import type { Elsewhere } from "../core/pool/elsewhere.ts";
import { Keepers } from "../core/pool/keepers.ts";
import type { Node } from "../core/pool/node.ts";
import { LOOK_MS } from "../core/pool/watch.ts";
import { RequestIds } from "../core/request-id.ts";
import { NodePolicy } from "../discovery/node-policy.ts";
import type { BunServer } from "../http/bun-server.ts";
import { Departures } from "../http/departures.ts";
import { IdleLimit } from "../http/idle-limit.ts";
import { ModelAliases } from "../http/model-aliases.ts";
import { Peers } from "../http/peers.ts";
import type { Services } from "../http/services.ts";
import { SharedQuestions } from "../http/shared-questions.ts";
import { SseKeepalive } from "../http/sse-keepalive.ts";
import type { Live } from "../observe/live.ts";
import type { LiveFacts } from "../observe/live-facts.ts";
import { type Log, logUnexpected } from "../observe/log.ts";
import type { NodeEvents } from "../observe/node-events.ts";
import { openRequests } from "../observe/open-requests.ts";
import type { Traces } from "../observe/traces.ts";
import { Connections } from "../upstream/connections.ts";
import { PinnedFetch } from "../upstream/pinned-fetch.ts";
import { resolver } from "../upstream/resolve.ts";
import type { Upstream } from "../upstream/send.ts";
import { createBodies } from "./bodies.ts";
import { effective } from "./effective.ts";
import { Keys } from "./keys.ts";
import { Lifecycle } from "./lifecycle.ts";
import { createMode } from "./mode.ts";
import { type FactsOf, observe } from "./observe.ts";
import { createOpenFiles } from "./open-files.ts";
import { createQuestions } from "./questions.ts";
import { Reload, type Rereading } from "./reload.ts";
import type { RemoteLive } from "./remote-live.ts";
import { createRouting, type Routing } from "./routing.ts";
import { Every, type Task } from "./task.ts";
import { CertificateInUse } from "./tls.ts";
import { createUpstream } from "./upstream.ts";

/** What can be asked of the server only once it listens. */
export interface Listening {
  readonly port: () => number;
  /** Requests whose answer has not left the socket yet. */
  readonly pendingRequests: () => number;
  readonly server: () => BunServer;
  /** Has new connections get another certificate; false, and left out, where it cannot be done. @throws Error */
  readonly renew?: (key: CertifiedKey) => Promise<boolean>;
  /** Whether the state file is kept from other processes; null without one. */
  readonly stateLocked: () => boolean | null;
  readonly stateProblem: () => string | null;
}

export interface Assembled {
  readonly services: Services;
  readonly lifecycle: Lifecycle;
  readonly tasks: readonly Task[];
  /** Those of them that find out how nodes are. */
  readonly knowing: readonly Task[];
  readonly engines: Engines;
  readonly keys: Keys;
  readonly certificate: CertificateInUse;
  readonly prompts: Routing["prompts"];
  readonly events: NodeEvents;
  /** What the live page shows of what this process knows, or is told. */
  readonly ownLive: Live;
  readonly liveFacts: () => LiveFacts;
}

/** Who asks engines whether they are well and what they serve. */
type Engines = Pick<Upstream, "isWell" | "stillServes" | "find">;

/** What this process has in common with others of one proxy. */
export interface Share {
  readonly elsewhere: Elsewhere;
  /** Null: this process keeps its own. */
  readonly sessions: KeptSessions | null;
  readonly places?: Places;
  /** Left out: this process. */
  readonly engines?: Engines;
  readonly via?: string;
  readonly control?: Services["control"];
  /** Who tells what the live page shows; left out: this process. */
  readonly live?: RemoteLive;
  /** Who knows that; left out: this process. */
  readonly factsOf?: FactsOf;
  /** Told what other keys are in force from now on. */
  readonly keysChanged?: (config: Config) => void;
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

export interface AssembleOptions {
  /** Left out: it serves HTTP. */
  readonly key?: CertifiedKey | null;
  readonly traces?: Traces | null;
  /** Left out: what it was started with stays. */
  readonly rereading?: Rereading | null;
  /** Left out: this is the only process. */
  readonly share?: Share | null;
}

/** The parts of a proxy, put together and not yet started. Time and chance are made here. */
export function assemble(
  config: Config,
  log: Log,
  listening: Listening,
  { key = null, traces = null, rereading = null, share = null }: AssembleOptions = {},
): Assembled {
  const { now, wallMs } = CLOCK;
  const random = RANDOM;
  const onError = (error: unknown) => logUnexpected(log, error);
  const { registry, prompts, readPrompt, finishSession } = createRouting(config, {
    now,
    random,
    onListenerError: onError,
    share,
  });
  const { nodePolicy, pinned } = createReach(config, listening);
  const { fetch } = pinned;
  const engines: Engines = share?.engines ?? {
    find: (model, role) => discovery.find(model, role),
    stillServes: (node: Node, model: string) => discovery.stillServes(node, model),
    isWell: (node: Node) => prober.isWell(node),
  };
  const upstream = createUpstream(config, registry, pinned, engines, CLOCK, share?.places);
  const keys = new Keys(config);
  const { engineHeaders } = keys;
  const use = (next: Config) => {
    keys.use(next);
    share?.keysChanged?.(next);
  };
  const certificate = new CertificateInUse(key, listening.renew ?? (() => Promise.resolve(false)));
  const reload = new Reload({ config, rereading, keys: { use }, certificate, log, wallMs });
  const { mode, distServe } = createMode(config, upstream, engineHeaders, log);
  const questions = { registry, headers: engineHeaders, fetch, clock: CLOCK, random, onError };
  const { prober, poller, discovery } = createQuestions(config, questions, log);
  const bodies = createBodies(config, CLOCK);
  const exchanges = new Exchanges({ now, report: onError });
  const idleLimit = new IdleLimit(listening.server, exchanges, CLOCK, keepAliveS(config));
  const startedAtS = Math.floor(CLOCK.wallMs() / 1_000);
  const { admission } = upstream;
  const bodyMemory = bodies.memory;
  const observed = { registry, exchanges, admission, bodyMemory, log, clock: CLOCK, startedAtS };
  const observing = observe(config, {
    ...observed,
    mode,
    factsOf: share?.factsOf,
    leaving: () => lifecycle.leaving,
    reload: reload.last,
    tlsNotAfterS: () => certificate.notAfterS,
  });
  const live = share?.live ?? observing.live;
  const lifecycle = new Lifecycle({
    clock: CLOCK,
    registry,
    admission: upstream.admission,
    exchanges,
    slow: bodies.slow,
    shutdownDelayMs: config.shutdownDelayMs,
    drainTimeoutMs: config.drainTimeoutMs,
    pendingRequests: listening.pendingRequests,
    distServe,
    live,
    keepAliveMs: 1_000 * keepAliveS(config),
    log,
  });
  if (traces !== null) exchanges.subscribe(traces.ended);
  const services = {
    readPrompt,
    finishSession,
    keepers: new Keepers({ now, isMember: (node) => registry.get(node.url) === node }),
    ids: new RequestIds(random, config.requestIdHeaders),
    aliases: new ModelAliases(config.modelAliases, registry),
    exchanges,
    arriving: new Cohort(CLOCK.soon),
    leaving: new Cohort(CLOCK.soon),
    departures: new Departures(CLOCK),
    openFiles: createOpenFiles(log, now),
    sseKeepalive:
      config.sseKeepaliveMs === null ? null : new SseKeepalive(config.sseKeepaliveMs, CLOCK),
    metricsPage: observing.metricsPage,
    nodeFigures: observing.nodeFigures,
    nodeFailures: observing.nodeFailures,
    explain: observing.explain,
    beginTrace: traces?.begin ?? null,
    live,
    openRequests: () => openRequests(exchanges, now()),
    cancel: (id: string) => exchanges.cancel(id),
    control: share?.control ?? null,
    upgrade: null,
    exposesNode: config.exposeNode,
    registry,
    discovery: engines,
    flags: () =>
      Object.fromEntries(shownFlags(effective(config)).map(({ name, value }) => [name, value])),
    stateLocked: listening.stateLocked,
    stateProblem: listening.stateProblem,
    log,
    now,
    engineHeaders,
    fetch,
    mode,
    nodePolicy,
    server: listening.server,
    access: keys.access,
    reload: () => reload.run(),
    peers: new Peers(listening.server, config.trustedProxies.map(parseCidr)),
    via: share?.via ?? `1.1 lmproxy-${Math.floor(random() * 2 ** 48).toString(36)}`,
    lifecycle,
    maxHeaderBytes: config.maxHeaderBytes,
    bodyLimits: bodies.limits,
    adminBodyLimits: bodies.adminLimits,
    proto: config.tls === null ? ("http" as const) : ("https" as const),
    startedAtS,
    upstreamApiKey: () => keys.upstreamApiKey,
    sharedQuestions: new SharedQuestions(),
    after: CLOCK.after,
    keepAliveS: keepAliveS(config),
    as: config.as,
  };
  const knowing = [observing.events, prober, poller, discovery];
  const tasks = [
    observing.lag,
    ...(share?.live === undefined ? [observing.live] : []),
    ...knowing,
    upstream.deadlines,
    new Every(LOOK_MS, CLOCK, () => registry.learning.look()),
    idleLimit,
    ...(distServe === null ? [] : [distServe]),
  ];
  const { live: ownLive, liveFacts, events } = observing;
  const own = { engines, keys, certificate, prompts, ownLive, liveFacts, events };
  return { services, lifecycle, tasks, knowing, ...own };
}

/** Which addresses nodes may have, and what connects to no other. */
function createReach({ allowNodes }: Config, { port: proxyPort }: Listening) {
  const nodePolicy = new NodePolicy({ allow: allowNodes.map(parseAllowRule), proxyPort });
  const pinned = new PinnedFetch({
    fetch: new Connections(CLOCK.now).fetch,
    resolve: resolver(Bun.dns.lookup),
    refusal: (hostname, address, port) => nodePolicy.addressRefusal(hostname, address, port),
    clock: CLOCK,
  });
  return { nodePolicy, pinned };
}

/**
 * What Bun is told for `--keep-alive`, whole s, at most 255. It looks at idle connections each 4 s, and
 * closes up to 4 s early what it is told: of 1 s, one that has stood idle for 15 ms.
 */
export function keepAliveS({ keepAliveMs }: Config): number {
  return Math.min(Math.ceil(keepAliveMs / 1_000) + 4, 255);
}
