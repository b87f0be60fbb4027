/**
 * An engine's load, read from its `/metrics` page.
 *
 * How several series become one figure. An engine with data parallelism shows one series for each
 * rank, told apart by `engine` (LMDeploy, vLLM) or `dp_rank` (SGLang), and the engine chooses the rank
 * a request lands on. Usage is therefore the mean over ranks: it is the share of all KV blocks that
 * is taken, and what a request meets on average; the maximum would shut out an engine for one long
 * prompt, the minimum would hide that most ranks are full. Running and waiting are sums: they say how
 * much the node as a whole does.
 *
 * Series that differ in other labels (`tp_rank`, `pp_rank`, …) repeat the figure of their rank, and
 * a scrape may catch them a step apart: the highest counts. SGLang shows requests by `priority` and
 * their total under an empty one: the total counts, the sum of priorities when it is missing.
 *
 * A figure that cannot be true (NaN, infinite, negative, a usage above 1) is not given: a lie must
 * not draw traffic. A rank without a figure counts as the mean of the others.
 */
import type { EngineKind } from "./kinds.ts";
import { readSeries, type Series, seriesPattern } from "./prometheus-text.ts";

/** One reading of an engine's load gauges; null where the engine does not expose the figure. */
export interface LoadSample {
  /** Share of the KV cache in use, 0 to 1. */
  readonly cacheUsage: number | null;
  /** Requests in the engine's batches, 0 or more. */
  readonly running: number | null;
  /** Requests that wait for their turn in the engine, 0 or more. */
  readonly waiting: number | null;
}

export interface LoadSignals extends LoadSample {
  /** Told by the prefix of the metrics' names; null when the page has none of the known ones. */
  readonly kind: EngineKind | null;
}

interface SignalNames {
  readonly kind: EngineKind;
  /** The first one that is given counts. */
  readonly usage: readonly string[];
  readonly running: readonly string[];
  /** Added up: they count requests at different stages. */
  readonly waiting: readonly string[];
}

const ENGINES: readonly SignalNames[] = [
  {
    kind: "lmdeploy",
    usage: ["gpu_cache_usage_perc"],
    running: ["num_requests_running"],
    // Waiting for the scheduler, and before that for one of the API server's request handles.
    waiting: ["num_requests_waiting", "num_api_requests_waiting"],
  },
  {
    kind: "vllm",
    usage: ["kv_cache_usage_perc", "gpu_cache_usage_perc"],
    running: ["num_requests_running"],
    waiting: ["num_requests_waiting"],
  },
  {
    kind: "sglang",
    usage: ["token_usage"],
    running: ["num_running_reqs"],
    waiting: ["num_queue_reqs"],
  },
];

/** Series read from one page: more than any engine has ranks, few enough to cost nothing. */
const MAX_SERIES = 2048;

/** Requests beyond which a count is not believed. */
const MAX_REQUESTS = 1e9;

const WANTED = seriesPattern(
  ENGINES.map(({ kind, usage, running, waiting }) => {
    const names = [...usage, ...running, ...waiting].join("|");
    return `${kind}[:_](?:${names})`;
  }).join("|"),
);

const ANY_ENGINE = /^[ \t]*(lmdeploy|vllm|sglang)[:_]/m;

const NOTHING: LoadSignals = { kind: null, cacheUsage: null, running: null, waiting: null };

/**
 * The load signals on the page `text` (Prometheus text format), each null when it is not given. Never
 * throws; takes time in proportion to the length of the page, which is the caller's to limit.
 */
export function readLoadSignals(text: string): LoadSignals {
  const series = readSeries(text, WANTED, MAX_SERIES);
  const name = series[0]?.name ?? ANY_ENGINE.exec(text)?.[1];
  const engine = ENGINES.find(({ kind }) => name?.startsWith(kind));
  if (engine === undefined) return NOTHING;
  const named = (wanted: string): Series[] =>
    series.filter(
      ({ name }) => name === `${engine.kind}:${wanted}` || name === `${engine.kind}_${wanted}`,
    );
  return {
    kind: engine.kind,
    cacheUsage: firstGiven(engine.usage.map((usage) => meanUsage(named(usage)))),
    running: sumGiven(engine.running.map((running) => totalRequests(named(running)))),
    waiting: sumGiven(engine.waiting.map((waiting) => totalRequests(named(waiting)))),
  };
}

function meanUsage(series: readonly Series[]): number | null {
  const ranks = groupBy(series, rankOf);
  return mean(ranks.map((replicas) => highest(replicas, 1)));
}

function totalRequests(series: readonly Series[]): number | null {
  const ranks = groupBy(series, rankOf);
  const ofOne = mean(ranks.map(requestsOfRank));
  return ofOne === null ? null : ofOne * ranks.length;
}

function requestsOfRank(series: readonly Series[]): number | null {
  const totals = series.filter((one) => priorityOf(one) === "");
  const single = series.filter((one) => priorityOf(one) !== "");
  return (
    highest(totals, MAX_REQUESTS) ??
    sumGiven(groupBy(single, priorityOf).map((replicas) => highest(replicas, MAX_REQUESTS)))
  );
}

function rankOf({ labels }: Series): string {
  return `${labels.get("engine") ?? ""}\n${labels.get("dp_rank") ?? ""}`;
}

function priorityOf({ labels }: Series): string {
  return labels.get("priority") ?? "";
}

function groupBy(series: readonly Series[], keyOf: (one: Series) => string): Series[][] {
  return [...Map.groupBy(series, keyOf).values()];
}

/** The highest value between 0 and `limit`; null when there is none. */
function highest(series: readonly Series[], limit: number): number | null {
  let result: number | null = null;
  for (const { value } of series) {
    if (value >= 0 && value <= limit && value >= (result ?? 0)) result = value;
  }
  return result;
}

function given(figures: readonly (number | null)[]): number[] {
  return figures.filter((figure) => figure !== null);
}

function firstGiven(figures: readonly (number | null)[]): number | null {
  return given(figures)[0] ?? null;
}

function sumGiven(figures: readonly (number | null)[]): number | null {
  const values = given(figures);
  return values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0);
}

function mean(figures: readonly (number | null)[]): number | null {
  const sum = sumGiven(figures);
  return sum === null ? null : sum / given(figures).length;
}
