/** Puts a worker together: a proxy that is told how nodes are, and whose counts are in the table of all. */
import { Value } from "@sinclair/typebox/value";
import { Attended, SILENT_AFTER_MS, SilentError } from "../cluster/attended.ts";
import { BELL } from "../cluster/bells.ts";
import type { Channel } from "../cluster/channel.ts";
import { Hearer } from "../cluster/hear.ts";
import { openMemory, type SharedMemory } from "../cluster/memory.ts";
import type { Beginning, ToControl } from "../cluster/messages.ts";
import { SharedPlaces, sharedElsewhere } from "../cluster/shared-load.ts";
import { SharedNews } from "../cluster/shared-news.ts";
import { SharedSessions } from "../cluster/shared-sessions.ts";
import type { Row } from "../cluster/table.ts";
import { ConfigSchema } from "../config/schema.ts";
import type { Config } from "../config/serve-config.ts";
import { ProxyError } from "../core/errors.ts";
import type { Node } from "../core/pool/node.ts";
import type { Registry } from "../core/pool/registry.ts";
import type { ControlPlane } from "../http/services.ts";
import type { Traces } from "../observe/traces.ts";
import { answerOf } from "./admin-answer.ts";
import { type Assembled, assemble, CLOCK, type Listening, type Share } from "./assemble.ts";
import { type OpenLog, openLog } from "./open-log.ts";
import { RemoteLive } from "./remote-live.ts";
import { tracesOf } from "./start.ts";
import { readCertifiedKey } from "./tls.ts";

/** How often what nobody tells is looked at and said: pieces of answers, removed nodes that are idle. */
export const TICK_MS = 250;
/** How often the control plane is told what has ended, ms. */
const TELL_ENDED_MS = 1_000;

export interface Begun extends OpenLog {
  readonly config: Config;
  readonly assembled: Assembled;
  readonly live: RemoteLive;
  readonly hearer: Hearer;
  readonly traces: Traces | null;
}

type ControlChannel = Channel<ToControl>;

/** @throws Error when it is given what it does not understand. */
export async function beginWorker(
  given: Beginning,
  listening: Listening,
  control: ControlChannel,
): Promise<Begun> {
  const config = readConfig(given.config);
  const { log, flushLog } = openLog(config);
  const memory = openMemory(given.table, given.size);
  const { table } = memory;
  const row = table.ofRow(given.row);
  // A control plane of a version before has no room for it: then each worker learns alone.
  const shared = given.hasNews === true ? newsIn(memory, given.row) : null;
  // The same: then nobody rings, and each looks by itself.
  const bells = given.hasBells === true ? memory.bells() : null;
  let hearer: Hearer | null = null;
  const traces = await tracesOf(config, log);
  const attended = new Attended(control, CLOCK);
  const live = new RemoteLive(attended);
  const places = new SharedPlaces({
    table,
    row,
    limits: {
      maxConcurrency: config.maxConcurrency ?? Number.POSITIVE_INFINITY,
      maxPerClient: config.maxConcurrencyPerClient ?? Number.POSITIVE_INFINITY,
    },
    isLimited: config.maxConcurrency !== null || config.maxConcurrencyPerNode !== null,
    wallMs: CLOCK.wallMs,
    hash: clientHash,
    queueOf: (model) => hearer?.queueOf(model) ?? null,
    queues: () => hearer?.queues ?? 0,
    bells,
  });
  const share: Share = {
    via: given.via,
    elsewhere: sharedElsewhere(row, shared && ((slot, ms) => shared.answered(slot, ms))),
    // A control plane of a version before has no room for them, and but one worker where they are kept.
    sessions: given.hasSessions === true ? sessionsIn(memory, given.row, config) : null,
    places,
    engines: {
      find: async (model) => {
        await orUndefined(attended.ask({ do: "find", model }));
      },
      stillServes: async ({ url }, model) =>
        (await orUndefined(attended.ask({ do: "stillServes", url, model }))) !== false,
      isWell: async ({ url }) => (await orUndefined(attended.ask({ do: "isWell", url }))) !== false,
    },
    control: controlPlane(attended),
    live,
  };
  const { certificate: key = readCertifiedKey(config) } = given;
  const assembled = assemble(config, log, listening, { key, traces, share });
  const { registry } = assembled.services;
  hearer = new Hearer(registry, CLOCK.now);
  for (const news of given.news) hearer.hear(news);
  tellOf(registry, hearer, control);
  tellEnded(registry, control);
  if (shared !== null) shareNews(shared, assembled);
  process.on(BELL, () => places.rung());
  bells?.hangs(given.row, process.pid);
  tick(registry, row, shared);
  return { config, assembled, live, hearer, log, flushLog, traces };
}

/** A configuration from another process, which may be older and know fewer fields. @throws Error */
export function readConfig(given: unknown): Config {
  const config = Value.Default(ConfigSchema, given);
  Value.Assert(ConfigSchema, config);
  return config;
}

function sessionsIn(memory: SharedMemory, row: number, config: Config): SharedSessions {
  const idleMs = config.sessionTimeoutMs;
  return new SharedSessions(memory.sessions({ row, wallMs: CLOCK.wallMs, idleMs }));
}

function newsIn(memory: SharedMemory, row: number): SharedNews {
  return new SharedNews({ rings: memory.news(), row, pid: process.pid, clocks: CLOCK });
}

/** What answers teach is told to the other workers, and heard from them. */
function shareNews(news: SharedNews, { services: { registry }, prompts }: Assembled): void {
  const nodes: (Node | undefined)[] = [];
  for (const node of registry.nodesInUse()) nodes[node.slot] = node;
  registry.subscribe({
    nodeAdded: (node) => {
      nodes[node.slot] = node;
    },
  });
  news.listen({
    prompts: () => prompts?.from() ?? null,
    answered: (slot, latencyMs) => nodes[slot]?.answeredAnyone(latencyMs, CLOCK.now()),
  });
  if (prompts !== null) prompts.others = news;
}

/** The answer; undefined where the control plane cannot be asked. */
export async function orUndefined(answer: Promise<unknown>): Promise<unknown> {
  return await answer.catch(() => undefined);
}

/** What this process finds out of nodes: what another process should look at, and what all should know. */
function tellOf(registry: Registry, hearer: Hearer, control: ControlChannel): void {
  registry.subscribe({
    probeWanted: ({ url }) => {
      if (!hearer.isHearing) void orUndefined(control.ask({ do: "probe", url }));
    },
    stateChanged: ({ url, health, lastError }, from, to) => {
      if (hearer.isHearing) return;
      const why = health.doubt;
      if (to === "unhealthy" && why !== null) {
        void orUndefined(control.ask({ do: "doubted", url, why, reason: lastError ?? "" }));
      }
      if (from === "unhealthy" && to === "healthy") {
        void orUndefined(control.ask({ do: "cleared", url }));
      }
    },
  });
}

/** The control plane sees what is in flight, and not what has been: gauges of engines may still show that. */
function tellEnded(registry: Registry, control: ControlChannel): void {
  let counts = new Map<string, number>();
  let isHeard = true;
  registry.subscribe({
    leaseEnded: ({ node: { url } }) => void counts.set(url, (counts.get(url) ?? 0) + 1),
  });
  CLOCK.every(TELL_ENDED_MS, () => {
    // One that stands still is told all at once, later.
    if (counts.size === 0 || !isHeard) return;
    isHeard = false;
    void orUndefined(control.ask({ do: "ended", counts })).then(() => {
      isHeard = true;
    });
    counts = new Map();
  });
}

function tick(registry: Registry, row: Row, news: SharedNews | null): void {
  const told = new WeakMap<Node, number>();
  CLOCK.every(TICK_MS, () => {
    news?.catchUp();
    for (const node of registry.nodesInUse()) {
      const more = node.progress - (told.get(node) ?? 0);
      if (more > 0) row.addPieces(node.slot, more);
      told.set(node, node.progress);
    }
    registry.membership.sweep();
  });
}

function controlPlane(control: Attended<ToControl>): ControlPlane {
  return {
    async administer(request, body, socketAddress) {
      const { method, url, headers } = request;
      const asked = {
        do: "administer",
        method,
        url,
        headers: [...headers],
        body: body.length === 0 ? null : body,
        socketAddress,
      } as const;
      const answer = answerOf(
        await control.ask(asked).catch((error: unknown) => {
          if (error instanceof SilentError) throw standsStill(error, method);
        }),
      );
      if (answer !== null) return answer;
      throw new ProxyError(
        "service_unavailable",
        "The process that knows the nodes cannot be asked just now; try again.",
        { retryAfterS: 1 },
      );
    },
  };
}

/** A worker's own word would be old, and counts of one worker no sums. */
function standsStill({ wasAsked }: SilentError, method: string): ProxyError {
  const later = wasAsked ? "When it goes on, it does what this asked." : "Nothing was changed.";
  return new ProxyError(
    "service_unavailable",
    `The supervisor (process ${process.ppid}), which knows the nodes, gives no sign of life: it is stopped or hangs. ` +
      "kill -CONT has one go on that is stopped; one that hangs has to be ended and started anew." +
      (method === "GET" || method === "HEAD" ? "" : ` ${later}`),
    { retryAfterS: SILENT_AFTER_MS / 1_000 },
  );
}

/** Neither 0 nor -1, which mean something in the table. */
function clientHash(client: string): bigint {
  const hash = BigInt.asIntN(64, Bun.hash.wyhash(client));
  return hash === 0n || hash === -1n ? 1n : hash;
}
