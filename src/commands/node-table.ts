/** What `/nodes/status` answers, and the table that a person reads. Pure. */
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { readRole } from "../core/engine/roles.ts";
import { cut, plain, shortTime, tableLines, WIDTH } from "./table.ts";

const NumberOrNull = Type.Optional(Type.Union([Type.Number(), Type.Null()]));

/** LMDeploy's five fields, and those that lmproxy adds and another proxy may lack. */
const NodeStatus = Type.Object({
  role: Type.Union([Type.Integer(), Type.String()]),
  models: Type.Array(Type.String()),
  unfinished: Type.Number(),
  latency: Type.Array(Type.Number()),
  speed: NumberOrNull,
  name: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  state: Type.Optional(Type.String()),
  cache_usage: NumberOrNull,
  running: NumberOrNull,
  waiting: NumberOrNull,
  last_error: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  state_for_s: NumberOrNull,
  first_byte_p50_s: NumberOrNull,
  first_byte_ratio: NumberOrNull,
  piece_p50_s: NumberOrNull,
  piece_ratio: NumberOrNull,
  last_metrics_age_s: NumberOrNull,
  engine: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  no_models: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  no_usage: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  pairs: NumberOrNull,
  errors_5m: NumberOrNull,
  oldest_request_s: NumberOrNull,
});
export type NodeStatus = Static<typeof NodeStatus>;

const StatusSchema = Type.Record(Type.String(), NodeStatus);

/** By URL. */
export type Nodes = Readonly<Record<string, NodeStatus>>;

/** The nodes, or null if `answer` is no status of nodes. */
export function readStatus(answer: unknown): Nodes | null {
  return Value.Check(StatusSchema, answer) ? answer : null;
}

interface Column {
  readonly title: string;
  readonly shown: (node: NodeStatus) => string;
  /** What it is sorted by: numbers the largest first, then texts, then nodes without one. */
  readonly by: (node: NodeStatus) => number | string | null | undefined;
}

const COLUMNS: readonly Column[] = [
  { title: "state", shown: (node) => node.state ?? "-", by: (node) => node.state },
  { title: "since", shown: (node) => time(node.state_for_s), by: (node) => node.state_for_s },
  { title: "role", shown: roleOf, by: roleOf },
  { title: "in-flight", shown: (node) => `${node.unfinished}`, by: (node) => node.unfinished },
  {
    title: "oldest",
    shown: (node) => time(node.oldest_request_s),
    by: (node) => node.oldest_request_s,
  },
  {
    title: "first byte",
    shown: (node) => beside(node.first_byte_p50_s, node.first_byte_ratio),
    by: (node) => node.first_byte_ratio,
  },
  {
    title: "piece",
    shown: (node) => beside(node.piece_p50_s, node.piece_ratio),
    by: (node) => node.piece_ratio,
  },
  {
    title: "errors",
    shown: (node) => (node.errors_5m ? `${node.errors_5m}` : "-"),
    by: (node) => node.errors_5m,
  },
  {
    title: "cache",
    shown: (node) => (typeof node.cache_usage === "number" ? percent(node.cache_usage) : "-"),
    by: (node) => node.cache_usage,
  },
  { title: "running", shown: (node) => `${node.running ?? "-"}`, by: (node) => node.running },
  { title: "waiting", shown: (node) => `${node.waiting ?? "-"}`, by: (node) => node.waiting },
  {
    title: "sample",
    shown: (node) => time(node.last_metrics_age_s),
    by: (node) => node.last_metrics_age_s,
  },
  {
    title: "latency",
    shown: ({ latency }) => time(mean(latency)),
    by: ({ latency }) => mean(latency),
  },
];

/** What nodes can be sorted by, as it is typed. */
export const SORT_NAMES: readonly string[] = COLUMNS.map(({ title }) => nameOf(title));

function nameOf(title: string): string {
  return title.replace(" ", "-");
}

/** The nodes in the order of a column, those first that stand out. @param by one of `SORT_NAMES` */
export function sorted(nodes: Nodes, by: string): Nodes {
  const value = COLUMNS.find(({ title }) => nameOf(title) === by)?.by ?? (() => null);
  const keyed = Object.entries(nodes).map((entry) => ({ entry, key: value(entry[1]) ?? null }));
  keyed.sort((a, b) => compare(a.key, b.key));
  return Object.fromEntries(keyed.map(({ entry }) => entry));
}

function compare(a: number | string | null, b: number | string | null): number {
  if (typeof a === "number" && typeof b === "number") return b - a;
  if (typeof a === "string" && typeof b === "string") return a < b ? -1 : Number(a > b);
  return rank(a) - rank(b);
}

function rank(key: number | string | null): number {
  if (key === null) return 2;
  return typeof key === "number" ? 0 : 1;
}

function time(s: number | null | undefined): string {
  return typeof s === "number" ? shortTime(s) : "-";
}

/** A median, and that beside the median of its peers: 3× is a slow node. */
function beside(p50S: number | null | undefined, ratio: number | null | undefined): string {
  return time(p50S) + (typeof ratio === "number" ? ` ${ratio.toFixed(1)}×` : "");
}

/** From so much on, beside the median of its peers, a node is slow. */
const SLOW = 3;

/** The first that tell nothing new are left out until a line fits; none of them that names a slow node. */
const DISPENSABLE = [
  ...["latency", "sample", "piece", "waiting", "running"],
  ...["since", "cache", "role", "oldest", "errors"],
];

function roleOf(node: NodeStatus): string {
  return readRole(node.role) ?? String(node.role);
}

function percent(fraction: number): string {
  return `${Math.round(100 * fraction)} %`;
}

function mean(values: readonly number[]): number | null {
  if (values.length === 0) return null;
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/**
 * A line of titles, and for each node one with figures, one with its URL if it has a name, one with
 * its models and one with its last error. Fits 80 columns unless a URL is longer: then columns go that tell least, but for the one that
 * they are sorted by. Ends with a newline.
 */
export function nodeTable(nodes: Nodes, by: string | null = null): string {
  const entries = Object.entries(nodes);
  const isOfOneKind = entries.every(([, node]) => roleOf(node) === "Hybrid");
  const columns = [
    ["node", ...entries.map(([url, { name }]) => name ?? url)],
    ...COLUMNS.map(({ title, shown }) => [title, ...entries.map(([, node]) => shown(node))]),
  ].filter(([title, ...cells]) => {
    return title === "role" ? !isOfOneKind : cells.some((cell) => cell !== "-");
  });
  const isSlow = entries.some(([, { piece_ratio }]) => (piece_ratio ?? 0) >= SLOW);
  const [titles = "", ...lines] = tableLines(
    columns,
    DISPENSABLE.filter((title) => nameOf(title) !== by && !(isSlow && title === "piece")),
  );
  return titles + entries.map(([url, node], at) => lines[at] + details(url, node)).join("");
}

function details(url: string, { name, models, last_error }: NodeStatus): string {
  return [
    ...(name ? [url] : []),
    models.length === 0 ? "no model known" : `serves ${models.join(", ")}`,
    ...(last_error ? [`last error: ${last_error}`] : []),
  ]
    .map((text) => `  ${cut(plain(text), WIDTH - 2)}\n`)
    .join("");
}
