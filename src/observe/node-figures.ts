import type { LatencyRing } from "../core/pool/latency-ring.ts";
import type { Node } from "../core/pool/node.ts";
import type { Registry } from "../core/pool/registry.ts";
import type { Metrics } from "./metrics.ts";

/** How a node does beside the others that serve one of its models; null where there is nothing to say. */
export interface NodeFigures {
  /** For how long it has been in its state, s. */
  readonly state_for_s: number;
  /**
   * Median of its last first bytes, s, and that as a ratio to the median of such nodes; only of nodes that have had
   * `LEAST_ANSWERS`.
   */
  readonly first_byte_p50_s: number | null;
  readonly first_byte_ratio: number | null;
  /** The same of the time between two pieces. */
  readonly piece_p50_s: number | null;
  readonly piece_ratio: number | null;
  /** Attempts that failed in the last five minutes, 64 at most. */
  readonly errors_5m: number;
  /** Age of its oldest open request, s. */
  readonly oldest_request_s: number | null;
}

/** Of fewer answers a median says nothing about its node beside others: one long prompt makes it slow. */
const LEAST_ANSWERS = 5;

const RECENT_MS = 300_000;

/** The figures of all nodes, made when somebody asks. @param nowMs Monotonic. */
export function nodeFigures(
  registry: Registry,
  metrics: Metrics,
  nowMs: number,
): ReadonlyMap<Node, NodeFigures> {
  const nodes = registry.nodes();
  const firstBytes = new Map(nodes.map((node) => [node, telling(metrics.of(node).firstBytesMs)]));
  const pieces = new Map(nodes.map((node) => [node, telling(metrics.of(node).piecesMs)]));
  const medians = new Map<string, { firstByte: number | null; piece: number | null }>();
  /** The medians of a node's peers: once for all nodes that have the same. */
  const peersOf = (node: Node) => {
    const kind = `${node.role}\n${node.models.join("\n")}`;
    const known = node.models.length > 0 ? medians.get(kind) : undefined;
    if (known !== undefined) return known;
    const peers = withOneInCommon(node, registry);
    const made = { firstByte: medianOf(peers, firstBytes), piece: medianOf(peers, pieces) };
    medians.set(kind, made);
    return made;
  };
  return new Map(
    nodes.map((node) => {
      const { sinceMs, failedAtMs, firstBytesMs, piecesMs } = metrics.of(node);
      const peers = peersOf(node);
      const oldestMs = oldestLeaseMs(node);
      const figures = {
        state_for_s: (nowMs - sinceMs) / 1_000,
        first_byte_p50_s: inS(firstBytesMs.medianMs),
        first_byte_ratio: ratio(firstBytes.get(node), peers.firstByte),
        piece_p50_s: inS(piecesMs.medianMs),
        piece_ratio: ratio(pieces.get(node), peers.piece),
        errors_5m: failedAtMs.toArray().filter((atMs) => nowMs - atMs < RECENT_MS).length,
        oldest_request_s: oldestMs === null ? null : (nowMs - oldestMs) / 1_000,
      };
      return [node, figures];
    }),
  );
}

/** Those of its role with a model in common, and itself. Looked up by model: nodes may have thousands, and none of them shared. */
function withOneInCommon(node: Node, registry: Registry): Node[] {
  const { length: most } = registry.serving(null, node.role);
  const found = new Set([node]);
  for (const model of node.models) {
    if (found.size === most) break;
    for (const other of registry.serving(model, node.role)) found.add(other);
  }
  return [...found];
}

/** When a node's oldest open request was sent to it, ms; null without one. */
export function oldestLeaseMs(node: Node): number | null {
  let oldestMs: number | null = null;
  for (const { startedAtMs } of node.leases) {
    oldestMs = Math.min(oldestMs ?? startedAtMs, startedAtMs);
  }
  return oldestMs;
}

/** Their median, where there are enough of them to be compared. */
function telling({ size, medianMs }: LatencyRing): number | null {
  return size < LEAST_ANSWERS ? null : medianMs;
}

function medianOf(peers: readonly Node[], values: ReadonlyMap<Node, number | null>): number | null {
  return median(peers.map((peer) => values.get(peer) ?? null).filter((value) => value !== null));
}

function ratio(own: number | null | undefined, middle: number | null): number | null {
  return own === null || own === undefined || middle === null || middle === 0 ? null : own / middle;
}

function inS(ms: number | null): number | null {
  return ms === null ? null : ms / 1_000;
}

/** Null of none; of two in the middle their mean. */
export function median(values: readonly number[]): number | null {
  const sorted = Float64Array.from(values).sort();
  const upper = sorted[sorted.length >> 1];
  const lower = sorted[(sorted.length - 1) >> 1];
  return upper === undefined || lower === undefined ? null : (upper + lower) / 2;
}
