/** The page at `/metrics`: what was counted, and what its owners say now. */
import type { Role } from "../core/engine/roles.ts";
import type { NodeState } from "../core/pool/health.ts";
import type { Registry } from "../core/pool/registry.ts";
import { Exposition } from "./exposition.ts";
import type { Histogram } from "./histogram.ts";
import type { Metrics } from "./metrics.ts";
import { NODE_GAUGES } from "./node-gauges.ts";
import type { ProcessStats } from "./process-stats.ts";
import type { Counter, SeriesOf } from "./series.ts";

export interface MetricsPageOptions {
  readonly metrics: Metrics;
  readonly registry: Registry;
  /** Roles of which a request takes a node each. */
  readonly needed: readonly Role[];
  /** Monotonic clock, ms. */
  readonly now: () => number;
  readonly build: { readonly version: string; readonly bun: string };
  /** Names of strategies, by the role of the nodes that they choose among. */
  readonly strategies: readonly { readonly role: Role; readonly strategy: string }[];
  readonly metricsIntervalMs: number;
  /** Wall clock when the proxy started, s since 1970. */
  readonly startedAtS: number;
  readonly lag: Histogram;
  readonly process: () => ProcessStats;
  /** Requests that wait for a place or a node, and how many may. */
  readonly queue: () => { readonly length: number; readonly limit: number };
  readonly bodyMemory: () => { readonly takenBytes: number; readonly limitBytes: number };
  /** Lines of the log that nobody will read. */
  readonly linesLost: () => number;
  /** Of the configuration: whether the last one succeeded, and when one did, s since 1970. */
  readonly reload: { readonly succeeded: boolean; readonly succeededAtS: number };
  /** When the certificate expires, s since 1970; null without one. */
  readonly tlsNotAfterS: () => number | null;
}

const STATES = [
  "starting",
  "healthy",
  "sleeping",
  "unhealthy",
  "draining",
] as const satisfies readonly NodeState[];

/** Beyond so many models the nodes of each are no longer told apart. */
const MOST_MODELS = 200;

/** @param openMetrics Whether it is asked for in OpenMetrics' dialect. */
export function metricsPage(options: MetricsPageOptions, openMetrics: boolean): string {
  const page = new Exposition(openMetrics);
  const { build, strategies, metricsIntervalMs } = options;
  page.family("lmproxy_build_info", "gauge", "Which build this is.").sample(1, build);
  page.family(
    "lmproxy_strategy_info",
    "gauge",
    "The strategy in force, by the role of the nodes that it chooses among.",
  );
  for (const { role, strategy } of strategies) page.sample(1, { strategy, role });
  page
    .family("lmproxy_metrics_interval_seconds", "gauge", "How often engines' metrics are read.")
    .sample(metricsIntervalMs / 1_000);
  drawRequests(page, options.metrics);
  drawQueue(page, options);
  drawModels(page, options);
  drawNodes(page, options);
  drawProcess(page, options);
  return page.text();
}

function drawRequests(page: Exposition, metrics: Metrics): void {
  drawCounters(
    page,
    "lmproxy_requests_total",
    "Clients' requests, at their end.",
    metrics.requests,
  );
  drawCounters(
    page,
    "lmproxy_client_requests_total",
    "Requests by the name, or the number, of their API key.",
    metrics.clients,
  );
  drawHistograms(
    page,
    "lmproxy_first_byte_seconds",
    "From a request's arrival to the first byte of its answer.",
    metrics.firstByte,
  );
  drawHistograms(
    page,
    "lmproxy_request_seconds",
    "From a request's arrival to the last byte of its answer.",
    metrics.request,
  );
  drawHistograms(page, "lmproxy_queue_seconds", "How long requests waited.", metrics.queue);
  drawCounters(page, "lmproxy_rejected_total", "Requests the proxy refused.", metrics.rejected);
  drawCounters(
    page,
    "lmproxy_retries_total",
    "Failed attempts that call for another, by how they failed: tried, or no budget or node for it.",
    metrics.retries,
  );
  drawCounters(
    page,
    "lmproxy_tokens_total",
    "Tokens that answers say they took; cached ones are some of the prompts'.",
    metrics.tokens,
  );
  page
    .family(
      "lmproxy_answers_without_usage_total",
      "counter",
      "Good answers that do not say how many tokens they took.",
    )
    .sample(metrics.withoutUsage.value);
}

function drawCounters(
  page: Exposition,
  name: string,
  help: string,
  counters: SeriesOf<Counter>,
): void {
  page.family(name, "counter", help);
  for (const { labels, value } of counters) page.sample(value.value, labels);
}

function drawHistograms(
  page: Exposition,
  name: string,
  help: string,
  histograms: SeriesOf<Histogram>,
): void {
  page.family(name, "histogram", help);
  for (const { labels, value } of histograms) page.histogram(value, labels);
}

function drawQueue(page: Exposition, { queue, bodyMemory }: MetricsPageOptions): void {
  const { length, limit } = queue();
  const { takenBytes, limitBytes } = bodyMemory();
  page.family("lmproxy_queue_length", "gauge", "Requests that wait.").sample(length);
  page.family("lmproxy_queue_limit", "gauge", "Requests that may wait.").sample(limit);
  page
    .family("lmproxy_body_memory_bytes", "gauge", "What requests' bodies take.")
    .sample(takenBytes);
  page
    .family("lmproxy_body_memory_limit_bytes", "gauge", "What requests' bodies may take.")
    .sample(limitBytes);
}

/** By role: of a model that takes two, no other node of the one makes up for those of the other. */
function drawModels(page: Exposition, { registry, needed }: MetricsPageOptions): void {
  page.family("lmproxy_model_nodes", "gauge", "Nodes that serve a model, by their role and state.");
  for (const model of registry.models().slice(0, MOST_MODELS)) {
    for (const role of needed) {
      const states = registry.serving(model, role).map(({ health }) => health.state);
      for (const state of STATES) {
        page.sample(states.filter((one) => one === state).length, { model, role, state });
      }
    }
  }
}

function drawNodes(page: Exposition, { metrics, registry, now }: MetricsPageOptions): void {
  const nodes = registry.nodes();
  const nowMs = now();
  page.family("lmproxy_node_info", "gauge", "What a node is.");
  for (const node of nodes) {
    const models = node.models.length > MOST_MODELS ? "many" : node.models.toSorted().join(",");
    const { url, name, role, engine } = node;
    page.sample(1, { node: url, name: name ?? "", role, engine: engine ?? "", models });
  }
  page.family("lmproxy_node_state", "gauge", "1 for the state that a node is in.");
  for (const node of nodes) {
    for (const state of STATES) {
      page.sample(node.health.state === state ? 1 : 0, { node: node.url, state });
    }
  }
  page.family("lmproxy_node_out", "gauge", "1 while a node is out, by what it is out for.");
  for (const { url, health } of nodes) {
    const reason = health.doubt ?? "probe";
    if (health.state === "unhealthy") page.sample(1, { node: url, reason });
  }
  for (const { name, help, value } of NODE_GAUGES) {
    page.family(name, "gauge", help);
    for (const node of nodes) {
      const figure = value(node, nowMs);
      if (figure !== null) page.sample(figure, { node: node.url });
    }
  }
  page.family("lmproxy_node_pieces_total", "counter", "Pieces of answers that a node has sent.");
  for (const node of nodes) page.sample(node.progress, { node: node.url });
  page.family("lmproxy_node_requests_total", "counter", "Attempts on a node, by their outcome.");
  for (const node of nodes) {
    for (const [outcome, count] of metrics.of(node).outcomes) {
      page.sample(count.value, { node: node.url, outcome });
    }
  }
  page.family(
    "lmproxy_node_failures_total",
    "counter",
    "Attempts that failed on a node, answers of 5xx among them.",
  );
  for (const node of nodes) page.sample(metrics.of(node).failed.value, { node: node.url });
  page.family("lmproxy_node_state_changes_total", "counter", "Changes of a node's state.");
  for (const node of nodes) {
    for (const [to, count] of metrics.of(node).stateChanges) {
      page.sample(count.value, { node: node.url, to });
    }
  }
  page.family(
    "lmproxy_node_first_byte_seconds",
    "histogram",
    "From an attempt's start to the first byte of a node's answer.",
  );
  for (const node of nodes) page.histogram(metrics.of(node).firstByte, { node: node.url });
  page.family(
    "lmproxy_node_piece_seconds",
    "histogram",
    "Between two pieces of a node's answer: one mean for each answer.",
  );
  for (const node of nodes) page.histogram(metrics.of(node).piece, { node: node.url });
}

function drawProcess(page: Exposition, options: MetricsPageOptions): void {
  const { cpuS, residentBytes, openFiles, mostFiles } = options.process();
  page
    .family("lmproxy_event_loop_lag_seconds", "histogram", "How late the event loop is.")
    .histogram(options.lag);
  page
    .family("lmproxy_log_lines_lost_total", "counter", "Lines of the log that nobody will read.")
    .sample(options.linesLost());
  const { succeeded, succeededAtS } = options.reload;
  page
    .family("lmproxy_config_last_reload_success", "gauge", "Whether the last reload succeeded.")
    .sample(Number(succeeded));
  page
    .family(
      "lmproxy_config_last_reload_success_timestamp_seconds",
      "gauge",
      "When the configuration was last read.",
    )
    .sample(succeededAtS);
  const notAfterS = options.tlsNotAfterS();
  if (notAfterS !== null) {
    page
      .family("lmproxy_tls_not_after_timestamp_seconds", "gauge", "When the certificate expires.")
      .sample(notAfterS);
  }
  page
    .family("process_start_time_seconds", "gauge", "When the process started, since 1970.")
    .sample(options.startedAtS);
  page
    .family("process_cpu_seconds_total", "counter", "Time the process has spent on CPUs.")
    .sample(cpuS);
  page.family("process_resident_memory_bytes", "gauge", "Resident memory.").sample(residentBytes);
  if (openFiles !== null) {
    page.family("process_open_fds", "gauge", "Open file descriptors.").sample(openFiles);
  }
  if (mostFiles !== null) {
    page.family("process_max_fds", "gauge", "Most file descriptors allowed.").sample(mostFiles);
  }
}
