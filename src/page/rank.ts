/** Which node is to be looked at first. Pure. */
import { compareNames, type NodeRow, nameOf } from "./cluster.ts";

const STATES = ["healthy", "draining", "sleeping", "starting", "unhealthy"];

/** From so much on, beside the median of its peers, a node is slow. */
export const SLOW = 1.5;
export const VERY_SLOW = 3;

/** The worse of its two ratios, or null. */
function slownessOf(node: NodeRow): number | null {
  const ratios = [node.number("firstByteRatio"), node.number("pieceRatio")];
  const known = ratios.filter((ratio) => ratio !== null);
  return known.length === 0 ? null : Math.max(...known);
}

/** In no state to serve: more than anything that can be wrong with one that serves. */
const OUT: Readonly<Record<string, number>> = {
  unhealthy: 3_000,
  starting: 2_000,
  sleeping: 1_000,
};

/** From so many on, what others send a node is its trouble: gauges of fewer may just be old. */
export const FLOODED = 8;

/** A prefill is silent, too: so long, and so many times what the node takes otherwise, says more. */
const SILENT_MS = 10_000;
const SILENT_TIMES = 10;

/** For how long a node that has requests has sent nothing, ms; null while that is nothing to speak of. */
export function silenceOf(node: NodeRow, nowMs: number): number | null {
  const sinceS = node.number("silentS");
  const usualMs = node.number("firstByteMs") ?? 0;
  const silentMs = sinceS === null ? 0 : nowMs - 1_000 * sinceS;
  return silentMs < Math.max(SILENT_MS, SILENT_TIMES * usualMs) ? null : silentMs;
}

/** It is well and gets nothing, since it has named no model. */
export function isUnasked(node: NodeRow): boolean {
  return (
    node.text("state") === "healthy" && node.text("models") === "" && node.text("reason") !== ""
  );
}

/** How much there is wrong with a node; 0 for nothing. */
function troubleOf(node: NodeRow, nowMs: number): number {
  const state = node.text("state");
  // Somebody wanted it so: behind all trouble, before those that are well.
  const out = state === "draining" ? 0.5 : (OUT[state] ?? 0);
  const slow = Math.max((slownessOf(node) ?? 1) - SLOW, 0);
  const foreign = node.number("foreign") ?? 0;
  const flood = foreign < FLOODED ? 0 : Math.ceil(Math.log2(foreign));
  const mute = silenceOf(node, nowMs) === null ? 0 : 6;
  const unasked = isUnasked(node) ? 6 : 0;
  // In steps: order is to change when something has happened, not with every figure.
  return (
    out + flood + mute + unasked + Math.ceil(2 * slow) + Math.ceil((node.number("errors") ?? 0) / 4)
  );
}

export const COLUMNS = {
  node: (node: NodeRow) => nameOf(node),
  state: (node: NodeRow) => STATES.indexOf(node.text("state")),
  inFlight: (node: NodeRow) => node.number("inFlight"),
  oldest: (node: NodeRow) => -(node.number("oldestS") ?? Number.POSITIVE_INFINITY),
  share: (node: NodeRow) => node.number("share"),
  usage: (node: NodeRow) => node.number("usage"),
  running: (node: NodeRow) => node.number("running"),
  firstByte: (node: NodeRow) => node.number("firstByteMs"),
  piece: (node: NodeRow) => node.number("pieceMs"),
  errors: (node: NodeRow) => node.number("errors"),
} as const;

export type Column = keyof typeof COLUMNS;

/** A column with its highest first, the name with its first; null: by what is wrong. */
export type Order = Column | null;

/** @param nowMs The proxy's clock. */
export function ranked(nodes: readonly NodeRow[], order: Order, nowMs: number): NodeRow[] {
  const byName = (a: NodeRow, b: NodeRow) => compareNames(nameOf(a), nameOf(b));
  if (order === null) {
    return nodes.toSorted((a, b) => troubleOf(b, nowMs) - troubleOf(a, nowMs) || byName(a, b));
  }
  if (order === "node") return nodes.toSorted(byName);
  const value = COLUMNS[order];
  return nodes.toSorted((a, b) => {
    const difference = Number(value(b) ?? -1) - Number(value(a) ?? -1);
    return Number.isNaN(difference) || difference === 0 ? byName(a, b) : difference;
  });
}
