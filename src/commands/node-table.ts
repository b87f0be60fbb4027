/** What `/nodes/status` answers, and the table that a person reads. Pure. */
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
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

const ROLES: Readonly<Record<string, string>> = { 1: "Hybrid", 2: "Prefill", 3: "Decode" };

const COLUMNS: readonly (readonly [title: string, of: (node: NodeStatus) => string])[] = [
  ["state", (node) => node.state ?? "-"],
  ["since", (node) => time(node.state_for_s)],
  ["role", roleOf],
  ["in-flight", (node) => String(node.unfinished)],
  ["oldest", (node) => time(node.oldest_request_s)],
  ["first byte", firstByte],
  ["errors", (node) => (node.errors_5m ? String(node.errors_5m) : "-")],
  ["cache", (node) => (typeof node.cache_usage === "number" ? percent(node.cache_usage) : "-")],
  ["running", (node) => String(node.running ?? "-")],
  ["waiting", (node) => String(node.waiting ?? "-")],
  ["latency", (node) => (node.latency.length === 0 ? "-" : `${mean(node.latency).toFixed(2)} s`)],
];

function time(s: number | null | undefined): string {
  return typeof s === "number" ? shortTime(s) : "-";
}

/** Its median, and that beside the median of its peers: 3× is a slow node. */
function firstByte({ first_byte_p50_s, first_byte_ratio }: NodeStatus): string {
  const beside = typeof first_byte_ratio === "number" ? ` ${first_byte_ratio.toFixed(1)}×` : "";
  return time(first_byte_p50_s) + beside;
}

/** The first that tell nothing new are left out until a line fits. */
const DISPENSABLE = ["role", "latency", "waiting", "running", "since", "cache", "oldest", "errors"];

function roleOf(node: NodeStatus): string {
  return ROLES[node.role] ?? String(node.role);
}

function percent(fraction: number): string {
  return `${Math.round(100 * fraction)} %`;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/**
 * A line of titles, and for each node one with figures, one with its URL if it has a name, one with
 * its models and one with its last error. Fits 80 columns unless a URL is longer: then columns go that tell least. Ends with a newline.
 */
export function nodeTable(nodes: Nodes): string {
  const entries = Object.entries(nodes);
  const isOfOneKind = entries.every(([, node]) => roleOf(node) === "Hybrid");
  const columns = [
    ["node", ...entries.map(([url, { name }]) => name ?? url)],
    ...COLUMNS.map(([title, of]) => [title, ...entries.map(([, node]) => of(node))]),
  ].filter(([title, ...cells]) => {
    return title === "role" ? !isOfOneKind : cells.some((cell) => cell !== "-");
  });
  const [titles = "", ...lines] = tableLines(columns, DISPENSABLE);
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
