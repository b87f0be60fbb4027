/**
 * The process that knows the nodes of a proxy with workers: it holds the state file, asks engines how they
 * are, answers administrators, keeps the workers running, and sends no request of a client's to anybody.
 */
import { UpgradeError } from "../cluster/errors.ts";
import type { Spawn } from "../cluster/member.ts";
import { shareMemory } from "../cluster/memory.ts";
import type { AdminRequest, ToControl } from "../cluster/messages.ts";
import { sharedElsewhere } from "../cluster/shared-load.ts";
import { SharedSessions } from "../cluster/shared-sessions.ts";
import { CONTROL_ROW, rowsFor, Supervisor } from "../cluster/supervisor.ts";
import { MOST_CLIENTS } from "../cluster/table.ts";
import { Teller } from "../cluster/tell.ts";
import type { Config } from "../config/serve-config.ts";
import { ProxyError } from "../core/errors.ts";
import type { Registry } from "../core/pool/registry.ts";
import { createApp } from "../http/app.ts";
import { RouteTable } from "../http/routes/table.ts";
import type { Services } from "../http/services.ts";
import { LineSink } from "../observe/line-sink.ts";
import { Log, logUnexpected } from "../observe/log.ts";
import { openStateFile, type Warn } from "../state/file.ts";
import { packed } from "./admin-answer.ts";
import { type Assembled, assemble, CLOCK } from "./assemble.ts";
import { controlTicks } from "./control-ticks.ts";
import { bodyMemoryBytes, lineFormat } from "./effective.ts";
import { Gathered } from "./gathered.ts";
import { GatheredFacts, WorkersWatchers } from "./gathered-live.ts";
import { holdPort } from "./held-port.ts";
import { joinNodes } from "./join-nodes.ts";
import { startMetricsServer } from "./metrics-server.ts";
import { routesOf } from "./routes.ts";
import { keepsSessions } from "./routing.ts";
import { LOG_WAITS_CHARACTERS, type RunningProxy } from "./start.ts";
import { readCertifiedKey } from "./tls.ts";

/** A proxy whose clients workers answer. */
export interface RunningControl extends Omit<RunningProxy, "replaced"> {
  /** Rejects when workers die again and again. */
  readonly failed: Promise<never>;
  /** @throws UpgradeError */
  readonly upgrade: () => Promise<{ readonly from: string; readonly to: string }>;
}

export interface ControlOptions {
  /** Workers. */
  readonly count: number;
  readonly spawn: Spawn;
  /** Reads the configuration once more. @throws UsageError */
  readonly reread: () => Config;
}

/**
 * Starts the control plane and `count` workers; resolves when these serve.
 * @throws what `Bun.serve` throws, MetricsListenError, StateFileError; Error when a worker does not come up
 */
export async function startControl(
  config: Config,
  { count, spawn, reread }: ControlOptions,
): Promise<RunningControl> {
  const shared = shareOf(config, count);
  const key = readCertifiedKey(config);
  const { port, release } = holdPort(config, key);
  const sink = new LineSink({
    output: Bun.stderr.writer(),
    mostWaiting: LOG_WAITS_CHARACTERS,
    soon: CLOCK.soon,
  });
  const log = new Log({ level: config.logLevel, format: lineFormat(config), sink });
  const warn: Warn = (message, details) => log.warning(message, details);
  const stateFile = config.statePath === null ? null : openStateFile(config.statePath, { warn });
  const clients = config.maxConcurrencyPerClient === null ? 0 : MOST_CLIENTS;
  const memory = shareMemory({ rows: rowsFor(count), clients });
  const { table } = memory;
  table.rowsInUse = CONTROL_ROW + 1;
  const sessions = keepsSessions(config)
    ? memory.sessions({
        row: CONTROL_ROW,
        wallMs: CLOCK.wallMs,
        idleMs: config.sessionTimeoutMs,
      })
    : null;
  const peers = new WeakMap<Request, string | null>();
  const server = () => ({
    requestIP(request: Request) {
      const address = peers.get(request) ?? null;
      return address === null ? null : { address };
    },
    timeout() {},
  });
  let latest = config;
  const share = {
    elsewhere: sharedElsewhere(table.ofRow(CONTROL_ROW)),
    sessions: sessions === null ? null : new SharedSessions(sessions),
    factsOf: (known: Registry) => new GatheredFacts(known, () => supervisor.members, CLOCK),
    keysChanged(next: Config) {
      latest = next;
      supervisor.order({ do: "keys", config: next });
    },
  };
  const assembled = assemble(
    config,
    log,
    {
      port: () => port,
      pendingRequests: () => 0,
      server,
      renew: (next) => supervisor.renew(next),
      stateLocked: () => stateFile?.locked ?? null,
    },
    { key, reread, share },
  );
  const own = assembled.services;
  const live = assembled.ownLive;
  const watchers = new WorkersWatchers(live);
  const gathered = new Gathered(own, () => supervisor.members);
  const services: Services = {
    ...own,
    ...gathered.services,
    upgrade: () => supervisor.upgrade().catch(asProxyError),
  };
  const routes = routesOf(config);
  const app = createApp(routes, new RouteTable(routes), services);
  const administer = async (asked: AdminRequest) => {
    const { method, url, headers, body, socketAddress } = asked;
    const request = new Request(url, { method, headers: headers.map(([n, v]) => [n, v]), body });
    peers.set(request, socketAddress);
    const before = `${log.level} ${log.format}`;
    const answer = await packed(await app.fetch(request));
    const { level, format } = log;
    if (`${level} ${format}` !== before) supervisor.order({ do: "log", level, format });
    // True for all when it is given.
    await supervisor.heard();
    return answer;
  };
  const { registry, nodePolicy, mode } = own;
  const teller = new Teller(registry, CLOCK.now, (news) => supervisor.tell(news));
  const supervisor = new Supervisor({
    count,
    port,
    table,
    clock: CLOCK,
    spawn,
    log,
    firstListens: release,
    beginning: () => ({
      table: memory.path,
      size: memory.size,
      hasSessions: true,
      config: {
        ...shared,
        ...keysOf(latest),
        logLevel: log.level,
        logFormat: log.format,
      },
      certificate: assembled.certificate.key,
      via: own.via,
      news: teller.all(),
    }),
    gone(member) {
      gathered.gone(member);
      watchers.gone(member);
      sessions?.left(member.row);
    },
    answer: (question, member) => {
      if (!isQuestion(question)) throw new Error("not understood");
      if (question.do === "administer") return administer(question);
      if (question.do === "counted") return gathered.counted(member, question.page);
      if (question.do === "watch") return watchers.watch(member, question.watcher);
      if (question.do === "unwatch") return watchers.unwatch(member, question.watcher);
      return askEngines(question, assembled);
    },
  });
  teller.start();
  const entries = stateFile?.loaded ?? [];
  const { sources } = joinNodes(config, registry, nodePolicy, mode, entries, stateFile, warn);
  for (const worker of [...assembled.knowing, live]) worker.start();
  const stopTicks = controlTicks({ registry, table, sessions, supervisor, teller });
  const { metricsHost, metricsPort } = config;
  const metricsServer =
    metricsPort === null
      ? null
      : startMetricsServer(metricsHost, metricsPort, services.metricsPage, false);
  if (metricsServer !== null) log.info("metrics are open to anybody", { url: metricsServer.url });
  async function tidyUp(): Promise<void> {
    sources.stop();
    stopTicks();
    for (const worker of [...assembled.knowing, live]) worker.stop();
    await metricsServer?.stop();
    await stateFile?.close();
    memory.remove();
    await sink.flush();
  }
  async function stop(): Promise<void> {
    await supervisor.stop();
    await tidyUp();
  }
  try {
    await supervisor.start();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    url: urlOf(config, port),
    port,
    nodes: registry.nodes().length,
    log,
    report: (error) => logUnexpected(log, error),
    reload: () => void services.reload().catch(() => {}),
    failed: supervisor.failed,
    upgrade: () => supervisor.upgrade(),
    stop,
    async drain() {
      await supervisor.drain();
      await tidyUp();
    },
  };
}

/** As Bun writes the address of a server. */
function urlOf({ host, tls }: Config, port: number): string {
  const name = host.includes(":") ? `[${host}]` : host;
  return new URL(`${tls === null ? "http" : "https"}://${name}:${port}`).origin;
}

/**
 * What is bounded for the whole proxy is a part of that for each worker.
 * @throws ProxyError invalid_request when a body does not fit into its part.
 */
function shareOf(config: Config, count: number): Config {
  const { maxBodyMemoryBytes: memory, maxBodyBytes } = config;
  if (memory !== null && memory < count * maxBodyBytes) {
    throw new ProxyError(
      "invalid_request",
      `--max-body-memory is divided among ${count} workers, and each must hold a body of --max-body; ` +
        "raise it, or lower --max-body or --workers",
    );
  }
  return {
    ...config,
    statePath: null,
    maxBodyMemoryBytes: Math.max(config.maxBodyBytes, Math.floor(bodyMemoryBytes(config) / count)),
    explainBytes: Math.floor(config.explainBytes / count),
  };
}

/** What a reload changes. */
function keysOf({ apiKeys, adminKey, upstreamApiKey }: Config) {
  return { apiKeys, adminKey, upstreamApiKey };
}

/** What workers would ask engines by themselves, and what they have found out. */
async function askEngines(question: ToControl, { services, engines }: Assembled): Promise<unknown> {
  if (question.do === "find") return await services.discovery.find(question.model);
  if (!("url" in question)) throw new Error("not understood");
  const { learning } = services.registry;
  const node = services.registry.get(question.url);
  if (node === undefined) return undefined;
  switch (question.do) {
    case "stillServes":
      return await engines.stillServes(node, question.model);
    case "isWell":
      return await engines.isWell(node);
    case "probe":
      return learning.suspect(node);
    case "doubted":
      return learning.doubted(node, question.why, question.reason);
    case "cleared":
      return learning.cleared(node);
    case "administer":
      throw new Error("not understood");
    default:
      return question satisfies never;
  }
}

function isQuestion(question: unknown): question is ToControl {
  return typeof question === "object" && question !== null && "do" in question;
}

function asProxyError(error: unknown): never {
  if (error instanceof UpgradeError) throw new ProxyError("upstream_error", error.message);
  throw error;
}
