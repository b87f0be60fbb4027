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
import type { EngineFacts, PrefixCounters, UsageGauge } from "./engine-facts.ts";
import { ENGINE_FACTS, type EngineKind } from "./kinds.ts";
import { readSeries, type Series, seriesPattern } from "./prometheus-text.ts";

/** Tokens of prompts since the engine started: all, and those that it found in its prefix cache. */
export interface PrefixCounts {
  readonly asked: number;
  readonly found: number;
}

/** One reading of an engine's load gauges; null where the engine does not expose the figure. */
export interface LoadSample {
  /** Share of the KV cache in use, 0 to 1. */
  readonly cacheUsage: number | null;
  /** Requests in the engine's batches, 0 or more. */
  readonly running: number | null;
  /** Requests that wait for their turn in the engine, 0 or more. */
  readonly waiting: number | null;
  /** Left out where the engine does not show both. */
  readonly prefix?: PrefixCounts;
}

export interface LoadSignals extends LoadSample {
  /** Told by the prefix of the metrics' names; null when the page has none of the known ones. */
  readonly kind: EngineKind | null;
  /** It is asleep and answers no request, whatever `/health` says; null when it does not tell. */
  readonly asleep: boolean | null;
}

/** Series read from one page: more than any engine has ranks, few enough to cost nothing. */
const MAX_SERIES = 2048;

/** Requests beyond which a count is not believed. */
const MAX_REQUESTS = 1e9;

/** Tokens beyond which a counter is not believed. */
const MAX_TOKENS = 1e15;

/** Reads the pages of the kinds of engines in `table`, whose names are the prefixes of their metrics. */
export function signalReader<K extends string>(
  table: Readonly<Record<K, EngineFacts>>,
): (text: string) => LoadSample & { readonly kind: K | null; readonly asleep: boolean | null } {
  const kinds = Object.keys(table).filter((kind): kind is K => kind in table);
  const wanted = seriesPattern(
    kinds.map((kind) => `${kind}[:_](?:${namesOf(table[kind]).join("|")})`).join("|"),
  );
  const anyEngine = new RegExp(`^[ \\t]*(${kinds.join("|")})[:_]`, "m");
  return (text) => {
    const series = readSeries(text, wanted, MAX_SERIES);
    const name = series[0]?.name ?? anyEngine.exec(text)?.[1];
    const kind = kinds.find((prefix) => name?.startsWith(prefix)) ?? null;
    if (kind === null) return { kind, ...NOTHING };
    const { usage, running, waiting, awake, prefix } = table[kind];
    const named = (gauge: string): Series[] =>
      series.filter(({ name }) => name === `${kind}:${gauge}` || name === `${kind}_${gauge}`);
    const counts = prefix === null ? null : readPrefix(prefix, named);
    return {
      kind,
      ...(counts !== null && { prefix: counts }),
      cacheUsage: firstGiven(usage.map((gauge) => readUsage(gauge, named))),
      running: sumGiven(running.map((gauge) => totalRequests(named(gauge)))),
      waiting: sumGiven(waiting.map((gauge) => totalRequests(named(gauge)))),
      asleep: awake === null ? null : isAsleep(named(awake.gauge), awake),
    };
  };
}

const NOTHING = { cacheUsage: null, running: null, waiting: null, asleep: null };

function namesOf({ usage, running, waiting, awake, prefix }: EngineFacts): string[] {
  const ofUsage = usage.flatMap((gauge) =>
    "used" in gauge ? [gauge.used, gauge.of] : [gauge.fraction],
  );
  const ofPrefix = prefix === null ? [] : [...prefix.asked.flat(), prefix.found];
  const ofAwake = awake === null ? [] : [awake.gauge];
  return [...ofUsage, ...running, ...waiting, ...ofAwake, ...ofPrefix];
}

/**
 * The load signals on the page `text` (Prometheus text format), each null when it is not given. Never
 * throws; takes time in proportion to the length of the page, which is the caller's to limit.
 */
export const readLoadSignals: (text: string) => LoadSignals = signalReader(ENGINE_FACTS);

function readUsage(gauge: UsageGauge, named: (gauge: string) => Series[]): number | null {
  if ("fraction" in gauge) return meanUsage(named(gauge.fraction));
  const limits = Map.groupBy(named(gauge.of), rankOf);
  const ranks = [...Map.groupBy(named(gauge.used), rankOf)].map(([rank, used]) => {
    const limit = highest(limits.get(rank) ?? [], Number.MAX_SAFE_INTEGER) ?? 0;
    const tokens = highest(used, limit);
    return tokens === null || limit === 0 ? null : tokens / limit;
  });
  return mean(ranks);
}

function readPrefix(
  { asked, found, appearsLate }: PrefixCounters,
  named: (counter: string) => Series[],
): PrefixCounts | null {
  const total = (counter: string) => sumGiven(named(counter).map(tokensOf));
  const sums = given(asked.map((counters) => sumGiven(counters.map(total))));
  const all = sums.find((sum) => sum > 0) ?? sums[0];
  const had = total(found) ?? (appearsLate ? 0 : null);
  if (all === undefined || had === null || had > all) return null;
  return { asked: all, found: had };
}

function tokensOf({ value }: Series): number | null {
  return value >= 0 && value <= MAX_TOKENS ? value : null;
}

/** Asleep is a node of which no rank is awake. */
function isAsleep(
  series: readonly Series[],
  { label, awake }: NonNullable<EngineFacts["awake"]>,
): boolean | null {
  const told = series.filter(({ labels }) => labels.get(label) === awake);
  const most = highest(told, 1);
  return most === null ? null : most === 0;
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
