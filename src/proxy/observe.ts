import { version } from "../../package.json";
import type { Config } from "../config/serve-config.ts";
import type { Admission } from "../core/admission/admission.ts";
import type { Clock } from "../core/clock.ts";
import type { Exchanges } from "../core/exchange.ts";
import type { Node } from "../core/pool/node.ts";
import type { Registry } from "../core/pool/registry.ts";
import type { BodyMemory } from "../http/body-memory.ts";
import type { Mode } from "../http/mode.ts";
import { accountOf, drawn } from "../observe/explanation.ts";
import { Explanations } from "../observe/explanations.ts";
import { Live, type LiveOptions } from "../observe/live.ts";
import { OwnFacts } from "../observe/live-facts.ts";
import type { Log } from "../observe/log.ts";
import { LoopLag } from "../observe/loop-lag.ts";
import { Metrics } from "../observe/metrics.ts";
import { type MetricsPageOptions, metricsPage } from "../observe/metrics-page.ts";
import { NodeEvents } from "../observe/node-events.ts";
import { nodeFigures } from "../observe/node-figures.ts";
import { processStats } from "../observe/process-stats.ts";
import { RequestLog } from "../observe/request-log.ts";
import { strategyOf } from "./routing.ts";

/** So many of one id are told. */
const MOST_TOLD = 100;

/** Who knows what the live page shows, made for the nodes of this process. */
export type FactsOf = (registry: Registry) => Pick<LiveOptions, "facts" | "refresh">;

/** What is observed. */
export interface Observed {
  readonly registry: Registry;
  readonly exchanges: Exchanges;
  readonly admission: Admission;
  readonly bodyMemory: BodyMemory;
  readonly log: Log;
  readonly clock: Clock;
  /** Wall clock when the proxy started, s since 1970. */
  readonly startedAtS: number;
  readonly reload: MetricsPageOptions["reload"];
  readonly tlsNotAfterS: MetricsPageOptions["tlsNotAfterS"];
  readonly mode: Mode;
  /** What other processes know of requests; left out: this one knows all. */
  readonly factsOf?: FactsOf | undefined;
  /** Whether the proxy is about to end. */
  readonly leaving: () => boolean;
}

const HYBRID = { pairs: 0, openSessions: 0 };

/** Everything that watches and changes nothing: events, the line of each request, metrics. */
export function observe(config: Config, observed: Observed) {
  const { registry, exchanges, admission, bodyMemory, log, clock, startedAtS, mode } = observed;
  const requests = new RequestLog({
    which: config.accessLog,
    format: () => log.format,
    logs: (level) => log.logs(level),
    write: log.write,
    wallMs: clock.wallMs,
  });
  const metrics = new Metrics(registry, clock);
  exchanges.subscribe(requests.ended);
  exchanges.subscribe(metrics.ended);
  const explanations = new Explanations({
    mostBytes: config.explainBytes,
    now: clock.now,
    wallMs: clock.wallMs,
  });
  if (config.explainBytes > 0) exchanges.subscribe(explanations.ended);
  exchanges.explains = config.explainBytes > 0 || config.accessLog !== "off";
  const lag = new LoopLag(clock);
  const strategies = mode.needed.map((role) => ({ role, strategy: strategyOf(role, config) }));
  const page = {
    metrics,
    registry,
    needed: mode.needed,
    now: clock.now,
    build: { version, bun: Bun.version },
    strategies,
    metricsIntervalMs: config.metricsIntervalMs,
    startedAtS,
    lag: lag.histogram,
    process: processStats,
    queue: () => ({ length: admission.waiting, limit: config.queueSize }),
    bodyMemory: () => bodyMemory.state,
    linesLost: () => log.linesLost,
    reload: observed.reload,
    tlsNotAfterS: observed.tlsNotAfterS,
  };
  const own = new OwnFacts({
    registry,
    exchanges,
    metrics,
    clock,
    waiting: () => admission.waiting,
    leaving: observed.leaving,
  });
  exchanges.subscribe(own.ended);
  const { facts, refresh } = observed.factsOf?.(registry) ?? { facts: own.facts };
  const live = new Live({
    registry,
    clock,
    about: {
      version,
      strategy: [...new Set(strategies.map(({ strategy }) => strategy))].join(" / "),
      mode: config.servingStrategy,
      needed: mode.needed,
    },
    metricsIntervalMs: config.metricsIntervalMs,
    facts,
    refresh,
    sinceMs: (node) => metrics.of(node).sinceMs,
    pairsOf: (node: Node) => mode.disaggregated?.figures(node) ?? HYBRID,
  });
  return {
    live,
    liveFacts: own.facts,
    events: new NodeEvents(registry, log, clock),
    lag,
    /** Those that run by an id, then those that have ended, the latest first. */
    explain: (id: string) => {
      const open = [...exchanges.open].filter((exchange) => exchange.id === id);
      const running = open.map((exchange) =>
        drawn(accountOf(exchange, clock.now(), clock.wallMs())),
      );
      return [...running, ...explanations.of(id)].slice(0, MOST_TOLD);
    },
    nodeFailures: (node: Node) => metrics.of(node).failures,
    nodeFigures: () => nodeFigures(registry, metrics, clock.now()),
    metricsPage: (openMetrics: boolean) => metricsPage(page, openMetrics),
  };
}
