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

const COLUMNS: readonly (readonly [title: string, of: (node: NodeStatus) => string])[] = [
  ["state", (node) => node.state ?? "-"],
  ["role", (node) => ROLES[node.role] ?? String(node.role)],
  ["in-flight", (node) => String(node.unfinished)],
  ["cache", (node) => (typeof node.cache_usage === "number" ? percent(node.cache_usage) : "-")],
  ["running", (node) => String(node.running ?? "-")],
  ["waiting", (node) => String(node.waiting ?? "-")],
  ["latency", (node) => (node.latency.length === 0 ? "-" : `${mean(node.latency).toFixed(2)} s`)],
  ["models", (node) => node.models.join(", ")],
  ["last error", (node) => node.last_error ?? ""],
];

function percent(fraction: number): string {
  return `${(100 * fraction).toFixed(1)} %`;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Engines choose their models' names and errors: none of it may move a terminal's cursor. */
function plain(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "?").slice(0, 120);
}

/** A line of titles and one for each node; ends with a newline. Columns without content are left out. */
export function nodeTable(nodes: Readonly<Record<string, NodeStatus>>): string {
  const entries = Object.entries(nodes);
  const columns = [
    ["node", ...entries.map(([url]) => url)],
    ...COLUMNS.map(([title, of]) => [title, ...entries.map(([, node]) => of(node))]),
  ].map((column) => column.map(plain));
  const shown = columns.filter(([, ...cells]) => cells.some((cell) => cell !== ""));
  const widths = shown.map((column) => Math.max(...column.map((cell) => cell.length)));
  const rows = Array.from({ length: entries.length + 1 }, (_, row) => {
    const cells = shown.map((column, at) => (column[row] ?? "").padEnd(widths[at] ?? 0));
    return `${cells.join("  ").trimEnd()}\n`;
  });
  return rows.join("");
}
