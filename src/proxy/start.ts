import type { CertifiedKey } from "../cluster/messages.ts";
import type { Config } from "../config/serve-config.ts";
import type { Role } from "../core/engine/roles.ts";
import { type EventLog, logUnexpected } from "../observe/log.ts";
import type { Traces } from "../observe/traces.ts";
import { openStateFile, type StateFile, type Warn } from "../state/file.ts";
import { assemble, CLOCK, RANDOM } from "./assemble.ts";
import { HANDSHAKES_MS, Handover } from "./handover.ts";
import { joinNodes } from "./join-nodes.ts";
import { listen, type Served } from "./listen.ts";
import type { Listeners } from "./listeners.ts";
import { openLog } from "./open-log.ts";
import type { Rereading } from "./reload.ts";
import { Predecessor } from "./takeover.ts";
import { readCertifiedKey } from "./tls.ts";

/** A proxy that serves. */
export interface RunningProxy {
  readonly url: string;
  readonly port: number;
  /** How many nodes it knew when it began to listen. */
  readonly nodes: number;
  /** Roles of which it knew none then, though every request takes one. */
  readonly lacking: readonly Role[];
  readonly log: EventLog;
  /** Resolves when another process has taken its place: what is left to do is `drain`. */
  readonly replaced: Promise<unknown>;
  /** Reads the files of the configuration again, and logs what came of it. */
  readonly reload: () => void;
  /** Logs an error that nobody expected. */
  readonly report: (error: unknown) => void;
  /**
   * Takes nothing new, lets what runs finish within the drain time limit, then ends. One that was replaced
   * waits before for its clients to go, unless `told` resolves.
   */
  drain(told: Promise<unknown>): Promise<void>;
  /** Ends at once: open requests are cut. */
  stop(): Promise<void>;
}

const CANNOT_BE_TAKEN_OVER =
  "it cannot be taken over from: it has no socket beside its state file, as with an older version";

/**
 * Puts the proxy together and starts it.
 * @param rereading Left out: what it was started with stays.
 * @throws what `Bun.serve` throws, such as EADDRINUSE; MetricsListenError, StateFileError, TakeoverError
 */
export async function startProxy(
  config: Config,
  rereading: Rereading | null = null,
): Promise<RunningProxy> {
  const { log, flushLog } = openLog(config);
  const warn: Warn = (message, details) => log.warning(message, details);
  const predecessor = config.takeover
    ? await Predecessor.find(config, { clock: CLOCK, warn, listeners: 1 })
    : null;
  let stateFile = ownStateFile(config, predecessor, warn);
  const traces = await tracesOf(config, log);
  let serving: Served | null = null;
  let handover: Handover | null = null;
  function listeners(): Listeners {
    if (serving === null) throw new Error("nothing listens yet");
    return serving.listeners;
  }
  const listening = {
    port: () => serving?.port ?? config.port,
    pendingRequests: () => serving?.listeners.pendingRequests ?? 0,
    server: () => listeners().server,
    async renew(key: CertifiedKey) {
      handover?.refuseWhileReplaced();
      return await listeners().renew(key, { of: 2, at: 0 }, HANDSHAKES_MS);
    },
    stateLocked: () => stateFile?.locked ?? null,
    stateProblem: () => stateFile?.problem ?? null,
  };
  const assembled = assemble(config, log, listening, {
    key: readCertifiedKey(config, rereading?.readFile),
    traces,
    rereading,
  });
  const { services, lifecycle, tasks } = assembled;
  const { nodePolicy, registry, mode } = services;
  if (predecessor !== null) mode.disaggregated?.adopt(predecessor.pairs);
  function join() {
    for (const task of tasks) task.start();
    const entries = predecessor?.entries ?? stateFile?.loaded ?? [];
    return joinNodes(config, registry, nodePolicy, mode, entries, stateFile, warn);
  }
  // Once it shares the port, requests come at once; a port of its own it may not get at all.
  const early = predecessor === null ? null : join();
  await predecessor?.assureSeen(registry, config.healthTimeoutMs);
  const isShared = predecessor !== null;
  const served = listen(config, assembled, log, {
    isShared,
    forMs: predecessor?.leavesWithinMs ?? 0,
  });
  serving = served;
  const { kept, sources } = early ?? join();
  if (predecessor !== null) stateFile = await predecessor.succeed(registry, kept, warn);
  const { promise: replaced, resolve: onReplaced } = Promise.withResolvers<unknown>();
  handover =
    stateFile?.locked === true
      ? new Handover({
          config,
          served,
          workers: null,
          registry,
          mode,
          kept,
          stateFile,
          lifecycle,
          clock: CLOCK,
          log,
          onReplaced,
        })
      : null;
  handover?.start();
  async function stop(): Promise<void> {
    await handover?.stop();
    sources.stop();
    for (const task of tasks) task.stop();
    await served.stop();
    await stateFile?.close();
    await traces?.stop();
    await flushLog();
  }
  return {
    url: served.listeners.server.url.origin,
    port: served.port,
    nodes: registry.nodes().length,
    lacking: services.mode.needed.filter((role) => registry.serving(null, role).length === 0),
    log,
    replaced,
    reload: () => void services.reload().catch(() => {}),
    report: (error) => logUnexpected(log, error),
    stop,
    async drain(told) {
      await lifecycle.drain(told);
      await served.listeners.leave();
      await stop();
    },
  };
}

/** Null where none is kept, or the one before us has it still. @throws StateFileError */
export function ownStateFile(
  { statePath, takeover }: Config,
  predecessor: Predecessor | null,
  warn: Warn,
): StateFile | null {
  if (statePath === null || predecessor !== null) return null;
  const { after } = CLOCK;
  return openStateFile(statePath, {
    warn,
    after,
    ...(takeover && { inUse: CANNOT_BE_TAKEN_OVER }),
  });
}

/** Loaded only when there are any. */
export async function tracesOf(config: Config, log: EventLog): Promise<Traces | null> {
  if (config.traces === null) return null;
  const { Traces } = await import("../observe/traces.ts");
  const { to, ...options } = config.traces;
  const { protocol, sampler, ratio } = options;
  log.info("traces are sent", { to, protocol, sampler, ratio });
  return new Traces({ ...options, clock: CLOCK, random: RANDOM, log });
}
