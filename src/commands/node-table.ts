/** What `/nodes/status` answers, and the table that a person reads. Pure. */
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";

const NumberOrNull = Type.Optional(Type.Union([Type.Number(), Type.Null()]));

/** LMDeploy's five fields, and those that lmproxy adds and another proxy may lack. */
const NodeStatus = Type.Object({
  role: Type.Union([Type.Integer(), Type.String()]),
  models: Type.Array(Type.String()),
  unfinished: Type.Number(),
  latency: Type.Array(Type.Number()),
  speed: NumberOrNull,
  state: Type.Optional(Type.String()),
  cache_usage: NumberOrNull,
  running: NumberOrNull,
  waiting: NumberOrNull,
  last_error: Type.Optional(Type.Union([Type.String(), Type.Null()])),
});
export type NodeStatus = Static<typeof NodeStatus>;

const StatusSchema = Type.Record(Type.String(), NodeStatus);

/** The nodes by URL, or null if `answer` is no status of nodes. */
export function readStatus(answer: unknown): Readonly<Record<string, NodeStatus>> | null {
  return Value.Check(StatusSchema, answer) ? answer : null;
}

const ROLES: Readonly<Record<string, string>> = { 1: "Hybrid", 2: "Prefill", 3: "Decode" };

/** What any terminal shows. */
const WIDTH = 80;

const COLUMNS: readonly (readonly [title: string, of: (node: NodeStatus) => string])[] = [
  ["state", (node) => node.state ?? "-"],
  ["role", roleOf],
  ["in-flight", (node) => String(node.unfinished)],
  ["cache", (node) => (typeof node.cache_usage === "number" ? percent(node.cache_usage) : "-")],
  ["running", (node) => String(node.running ?? "-")],
  ["waiting", (node) => String(node.waiting ?? "-")],
  ["latency", (node) => (node.latency.length === 0 ? "-" : `${mean(node.latency).toFixed(2)} s`)],
];

/** The first that tell nothing new are left out until a line fits. */
const DISPENSABLE = ["role", "latency", "waiting", "running", "cache"];

function roleOf(node: NodeStatus): string {
  return ROLES[node.role] ?? String(node.role);
}

function percent(fraction: number): string {
  return `${Math.round(100 * fraction)} %`;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Engines choose their models' names and errors: none of it may move a terminal's cursor. */
function plain(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "?");
}

/**
 * A line of titles, and for each node one with figures, one with its models and one with its last
 * error. Fits 80 columns unless a URL is longer: then columns go that tell least. Ends with a newline.
 */
export function nodeTable(nodes: Readonly<Record<string, NodeStatus>>): string {
  const entries = Object.entries(nodes);
  const isOfOneKind = entries.every(([, node]) => roleOf(node) === "Hybrid");
  let columns = [
    ["node", ...entries.map(([url]) => plain(url))],
    ...COLUMNS.map(([title, of]) => [title, ...entries.map(([, node]) => plain(of(node)))]),
  ].filter(([title, ...cells]) => {
    return title === "role" ? !isOfOneKind : cells.some((cell) => cell !== "-");
  });
  for (const title of DISPENSABLE) {
    if (widthOf(columns) <= WIDTH) break;
    columns = columns.filter(([name]) => name !== title);
  }
  const widths = columns.map(widest);
  const line = (row: number) => {
    const cells = columns.map((column, at) => (column[row] ?? "").padEnd(widths[at] ?? 0));
    return `${cells.join("  ").trimEnd()}\n`;
  };
  return line(0) + entries.map(([, node], at) => line(at + 1) + details(node)).join("");
}

function widest(column: readonly string[]): number {
  return Math.max(...column.map((cell) => cell.length));
}

function widthOf(columns: readonly (readonly string[])[]): number {
  return columns.reduce((sum, column) => sum + widest(column) + 2, -2);
}

function details({ models, last_error }: NodeStatus): string {
  return [
    models.length === 0 ? "no model known" : `serves ${models.join(", ")}`,
    ...(last_error ? [`last error: ${last_error}`] : []),
  ]
    .map((text) => `  ${cut(plain(text), WIDTH - 2)}\n`)
    .join("");
}

function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}
