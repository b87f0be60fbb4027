/**
 * The process that knows the nodes of a proxy with workers: it holds the state file, asks engines how they
 * are, answers administrators, keeps the workers running, and sends no request of a client's to anybody.
 */
import { UpgradeError } from "../cluster/errors.ts";
import type { Spawn } from "../cluster/member.ts";
import { shareMemory } from "../cluster/memory.ts";
import { CONTROL_ROW, rowsFor } from "../cluster/rows.ts";
import { sharedElsewhere } from "../cluster/shared-load.ts";
import { SharedSessions } from "../cluster/shared-sessions.ts";
import { Supervisor } from "../cluster/supervisor.ts";
import { MOST_CLIENTS } from "../cluster/table.ts";
import { Teller } from "../cluster/tell.ts";
import type { Config } from "../config/serve-config.ts";
import { ProxyError } from "../core/errors.ts";
import type { Registry } from "../core/pool/registry.ts";
import type { Services } from "../http/services.ts";
import { logUnexpected } from "../observe/log.ts";
import type { Warn } from "../state/file.ts";
import { Administration, WorkersPeers } from "./administration.ts";
import { answerWorker } from "./answer-worker.ts";
import { assemble, CLOCK } from "./assemble.ts";
import { controlTicks } from "./control-ticks.ts";
import { Gathered } from "./gathered.ts";
import { GatheredFacts, WorkersWatchers } from "./gathered-live.ts";
import { Handover } from "./handover.ts";
import { holdPort } from "./held-port.ts";
import { joinNodes } from "./join-nodes.ts";
import { startMetricsServer } from "./metrics-server.ts";
import { openLog } from "./open-log.ts";
import type { Rereading } from "./reload.ts";
import { Replacing, type StartSuccessor } from "./replacing.ts";
import { keepsSessions } from "./routing.ts";
import { ownStateFile, type RunningProxy } from "./start.ts";
import { Predecessor } from "./takeover.ts";
import { readCertifiedKey } from "./tls.ts";
import { keysOf, shareOf } from "./workers-config.ts";
import { WorkersEnd } from "./workers-end.ts";

/** A proxy whose clients workers answer. */
export interface RunningControl extends RunningProxy {
  /** Rejects when workers die again and again. */
  readonly failed: Promise<never>;
  /** @throws UpgradeError */
  readonly upgrade: NonNullable<Services["upgrade"]>;
}

export interface ControlOptions {
  /** Workers. */
  readonly count: number;
  readonly spawn: Spawn;
  readonly rereading: Rereading;
  readonly startSuccessor: StartSuccessor;
}

/**
 * Starts the control plane and `count` workers; resolves when these serve.
 * @throws what `Bun.serve` throws, MetricsListenError, StateFileError; Error when a worker does not come up
 */
export async function startControl(
  config: Config,
  { count, spawn, rereading, startSuccessor }: ControlOptions,
): Promise<RunningControl> {
  const shared = shareOf(config, count);
  const key = readCertifiedKey(config, rereading.readFile);
  const { log, flushLog } = openLog(config);
  const warn: Warn = (message, details) => log.warning(message, details);
  const predecessor = config.takeover
    ? await Predecessor.find(config, { clock: CLOCK, warn, listeners: count })
    : null;
  const { port, release } = predecessor?.heldPort ?? holdPort(config, key);
  let stateFile = ownStateFile(config, predecessor, warn);
  const replacing = new Replacing({
    port,
    statePath: config.statePath,
    supervisor: () => supervisor,
    startSuccessor,
  });
  const tables = shareTables(config, count);
  const { table, sessions } = tables;
  const peers = new WorkersPeers();
  let latest = config;
  const share = {
    elsewhere: sharedElsewhere(table.ofRow(CONTROL_ROW)),
    sessions: sessions === null ? null : new SharedSessions(sessions),
    factsOf: (known: Registry) => new GatheredFacts(known, () => supervisor.members, CLOCK),
    keysChanged(next: Config) {
      latest = next;
      supervisor.telling.order({ do: "keys", config: next });
    },
  };
  const assembled = assemble(
    config,
    log,
    {
      port: () => port,
      pendingRequests: () => 0,
      server: () => peers,
      renew: (next) => replacing.renew(next),
      stateLocked: () => stateFile?.locked ?? null,
      stateProblem: () => stateFile?.problem ?? null,
    },
    { key, rereading, share },
  );
  const { services: own, ownLive: live } = assembled;
  const watchers = new WorkersWatchers(live);
  const gathered = new Gathered(own, () => supervisor.members);
  const services: Services = {
    ...own,
    ...gathered.services,
    upgrade: (what) => replacing.upgrade(what).catch(asProxyError),
  };
  const { registry, nodePolicy, mode } = own;
  const ending = new WorkersEnd(config, log, services.openRequests);
  const teller = new Teller(registry, CLOCK.now, (news) => supervisor.telling.tell(news));
  const supervisor = new Supervisor({
    count,
    port,
    table,
    clock: CLOCK,
    spawn,
    log,
    firstListens: release,
    beginning: () => ({
      ...tables.found,
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
      tables.left(member.row);
    },
    answer: (question, member) => answerWorker(question, member, asked),
  });
  const administration = new Administration({
    config,
    services,
    peers,
    telling: supervisor.telling,
    log,
  });
  const asked = { administration, ending, gathered, watchers, engines: assembled };
  teller.start();
  const entries = predecessor?.entries ?? stateFile?.loaded ?? [];
  const { kept, sources } = joinNodes(config, registry, nodePolicy, mode, entries, stateFile, warn);
  for (const task of [...assembled.knowing, live]) task.start();
  const stopTicks = controlTicks({
    registry,
    table,
    sessions,
    telling: supervisor.telling,
    teller,
  });
  const isShared = predecessor !== null;
  const metricsServer = startMetricsServer(config, services.metricsPage, isShared, log);
  async function tidyUp(): Promise<void> {
    await replacing.handover?.stop();
    sources.stop();
    stopTicks();
    for (const task of [...assembled.knowing, live]) task.stop();
    await metricsServer?.stop();
    await stateFile?.close();
    tables.remove();
    await flushLog();
  }
  async function stop(): Promise<void> {
    await supervisor.stop();
    await tidyUp();
  }
  try {
    await predecessor?.assureSeen(registry, config.healthTimeoutMs);
    await supervisor.start();
    if (predecessor !== null) {
      stateFile = await predecessor.succeed(registry, kept, warn);
      replacing.settled = predecessor.leftPort(count).then(() => supervisor.spread());
    }
  } catch (error) {
    await stop();
    throw error;
  }
  if (stateFile?.locked === true) {
    const handover = new Handover({
      config,
      served: {
        port,
        ports: metricsServer === null ? [] : [metricsServer.port],
        listeners: { settled: replacing.settled },
      },
      workers: {
        count,
        isChanging: () => supervisor.isChanging,
        async handOver(listeners) {
          await supervisor.handOver(listeners);
          await administration.idle();
        },
      },
      registry,
      mode,
      kept,
      stateFile,
      lifecycle: assembled.lifecycle,
      clock: CLOCK,
      log,
      onReplaced: replacing.isReplaced,
    });
    handover.start();
    replacing.handover = handover;
  }
  return {
    url: urlOf(config, port),
    port,
    nodes: registry.nodes().length,
    // There is one role here: DistServe is one process.
    lacking: [],
    log,
    report: (error) => logUnexpected(log, error),
    reload: () => void services.reload().catch(() => {}),
    failed: supervisor.failed,
    replaced: replacing.replaced,
    upgrade: (what) => replacing.upgrade(what),
    stop,
    async drain(told) {
      if (assembled.lifecycle.retired) await Promise.race([supervisor.leave(), told]);
      await ending.drain(supervisor);
      await tidyUp();
    },
  };
}

/** What all workers count in, and where sessions are kept, if any are. */
function shareTables(config: Config, count: number) {
  const clients = config.maxConcurrencyPerClient === null ? 0 : MOST_CLIENTS;
  const memory = shareMemory({ rows: rowsFor(count), clients });
  const { path, size, table } = memory;
  table.rowsInUse = CONTROL_ROW + 1;
  const own = { row: CONTROL_ROW, wallMs: CLOCK.wallMs, idleMs: config.sessionTimeoutMs };
  const sessions = keepsSessions(config) ? memory.sessions(own) : null;
  const bells = memory.bells();
  return {
    table,
    sessions,
    /** How a worker finds them. */
    found: { table: path, size, hasSessions: true, hasNews: true, hasBells: true } as const,
    /** The worker of that row has ended: what it had is free. */
    left(row: number): void {
      sessions?.left(row);
      memory.news().clear(row);
      bells.clear(row);
      bells.ringAll();
    },
    remove: () => memory.remove(),
  };
}

/** As Bun writes the address of a server. */
function urlOf({ host, tls }: Config, port: number): string {
  const name = host.includes(":") ? `[${host}]` : host;
  return new URL(`${tls === null ? "http" : "https"}://${name}:${port}`).origin;
}

function asProxyError(error: unknown): never {
  if (error instanceof UpgradeError) throw new ProxyError("upstream_error", error.message);
  throw error;
}
