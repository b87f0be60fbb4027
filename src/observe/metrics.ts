/**
 * What is counted for `/metrics`: of requests as they end, of nodes as their leases end and their
 * states change. Everything else on that page is asked of its owner when somebody reads it.
 */
import type { Clock } from "../core/clock.ts";
import type { Exchange, Try } from "../core/exchange.ts";
import type { NodeState } from "../core/pool/health.ts";
import { LatencyRing } from "../core/pool/latency-ring.ts";
import type { Lease, Outcome } from "../core/pool/lease.ts";
import type { Node } from "../core/pool/node.ts";
import type { Registry } from "../core/pool/registry.ts";
import { Histogram } from "./histogram.ts";
import { outcomeOf, rejectionOf, statusOf, usageOf } from "./request-outcome.ts";
import { Counter, counters, histograms } from "./series.ts";

/** Upper bounds, s. The first two are subsets of vLLM's, so that both lie in one panel. */
const FIRST_BYTE_S = [
  0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160,
] as const;
const REQUEST_S = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640, 1280] as const;
const PIECE_S = [0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56] as const;
const QUEUE_S = [0.001, 0.01, 0.1, 0.5, 1, 2.5, 5, 10, 30] as const;

/** So many of the last answers of a node are looked at: few, so that one that turns slow shows within half a minute. */
const RECENT_ANSWERS = 16;
/** So many of the last failures of a node are counted. */
const RECENT_FAILURES = 64;

/** So many failures of a node are remembered. */
export const MOST_FAILURES = 10;
/** Of what is said of one, characters. */
const LONGEST_DETAIL = 200;

/** An attempt that failed, as far as it is remembered once its request has ended. */
export interface NodeFailure {
  /** When its request had ended, RFC 3339. */
  readonly at: string;
  /** The request's id. */
  readonly id: string;
  readonly outcome: string;
  /** HTTP, or null when there was no answer. */
  readonly status: number | null;
  readonly detail: string | null;
}

/** What is counted of one node; its series go when it is removed. */
export class NodeMetrics {
  readonly outcomes = new Map<string, Counter>();
  /** Of those, what failed there: an answer of 500 is one, a client that left is none. */
  readonly failed = new Counter();
  readonly stateChanges = new Map<NodeState, Counter>();
  readonly firstByte = new Histogram(FIRST_BYTE_S);
  readonly piece = new Histogram(PIECE_S);
  /** The last of them, ms: histograms remember for ever. */
  readonly firstBytesMs = new LatencyRing(RECENT_ANSWERS);
  readonly piecesMs = new LatencyRing(RECENT_ANSWERS);
  /** When the last failures were, monotonic, ms. */
  readonly failedAtMs = new LatencyRing(RECENT_FAILURES);
  /** The last of them, the latest first. */
  failures: readonly NodeFailure[] = [];
  /** Since when it has been in its state, monotonic, ms. */
  sinceMs: number;

  constructor(nowMs: number) {
    this.sinceMs = nowMs;
  }
}

export class Metrics {
  readonly requests = counters("endpoint", "model", "code", "outcome");
  readonly firstByte = histograms(FIRST_BYTE_S, "endpoint", "model", "stream");
  readonly request = histograms(REQUEST_S, "endpoint", "model", "stream");
  readonly queue = histograms(QUEUE_S, "model");
  readonly rejected = counters("reason");
  readonly retries = counters("reason", "result");
  readonly tokens = counters("model", "kind");
  readonly withoutUsage = new Counter();
  /** By key: there are as many as keys. */
  readonly clients = counters("client");
  readonly #nodes = new Map<Node, NodeMetrics>();
  readonly #registry: Registry;
  readonly #now: () => number;
  readonly #wallMs: () => number;

  constructor(registry: Registry, { now, wallMs }: Pick<Clock, "now" | "wallMs">) {
    this.#registry = registry;
    this.#now = now;
    this.#wallMs = wallMs;
    registry.subscribe({
      nodeAdded: (node) => this.of(node),
      nodeRemoved: (node) => this.#nodes.delete(node),
      stateChanged: (node, _from, to) => {
        const metrics = this.of(node);
        metrics.sinceMs = this.#now();
        add(metrics.stateChanges, to);
      },
      leaseEnded: (lease, outcome) => this.#leaseEnded(lease, outcome),
    });
  }

  /** What is counted of a node. */
  of(node: Node): NodeMetrics {
    let metrics = this.#nodes.get(node);
    if (metrics === undefined) {
      metrics = new NodeMetrics(this.#now());
      // One that was removed has series no more, whatever its last requests do.
      if (this.#registry.get(node.url) === node) this.#nodes.set(node, metrics);
    }
    return metrics;
  }

  /** A request has ended. */
  readonly ended = (exchange: Exchange): void => {
    const { beganAtMs, firstByteAtMs, endedAtMs, route } = exchange;
    const model = this.#modelOf(exchange);
    const stream = String(exchange.stream);
    this.requests.of(route, model, String(statusOf(exchange)), outcomeOf(exchange)).add();
    if (exchange.client?.startsWith("key:")) this.clients.of(exchange.client.slice(4)).add();
    const rejection = rejectionOf(exchange);
    if (rejection !== null) this.rejected.of(rejection).add();
    this.#countRetries(exchange);
    this.#countTokens(exchange, model);
    this.#rememberFailures(exchange);
    if (firstByteAtMs === null || endedAtMs === null) return;
    this.firstByte.of(route, model, stream).observe((firstByteAtMs - beganAtMs) / 1_000);
    this.request.of(route, model, stream).observe((endedAtMs - beganAtMs) / 1_000);
    const { queuedMs } = exchange;
    // Less is no waiting.
    if (queuedMs >= 1) this.queue.of(model).observe(queuedMs / 1_000);
  };

  #countTokens(exchange: Exchange, model: string): void {
    const usage = usageOf(exchange);
    if (usage === null) {
      const isGood = exchange.ended?.how === "complete" && statusOf(exchange) < 400;
      // What only looks something up takes none.
      if (isGood && !exchange.route.includes("/:id")) this.withoutUsage.add();
      return;
    }
    this.tokens.of(model, "prompt").add(usage.promptTokens ?? 0);
    this.tokens.of(model, "cached").add(usage.cachedTokens ?? 0);
    this.tokens.of(model, "output").add(usage.outputTokens ?? 0);
  }

  #rememberFailures({ id, tries }: Exchange): void {
    for (const { node, outcome } of tries) {
      const known = outcome !== null && isFailure(outcome) && this.#registry.get(node.url);
      if (!known || outcome === null) continue;
      const { kind, status = null, detail } = outcome;
      const failure = {
        at: new Date(this.#wallMs()).toISOString(),
        id,
        outcome: kind,
        status,
        detail: detail?.slice(0, LONGEST_DETAIL) ?? null,
      };
      const metrics = this.of(known);
      metrics.failures = [failure, ...metrics.failures].slice(0, MOST_FAILURES);
    }
  }

  #countRetries({ tries, notRetried }: Exchange): void {
    if (tries.length === 0 || (tries.length === 1 && notRetried === null)) return;
    for (const { outcome } of tries.slice(0, -1)) {
      // Then the next try is DistServe's second step.
      const isDone = outcome?.kind === "answered" && (outcome.status ?? 0) < 400;
      if (!isDone) this.retries.of(outcome?.kind ?? "open", "tried").add();
    }
    const last = tries.at(-1);
    if (last === undefined || notRetried === null) return;
    this.retries.of(last.outcome?.kind ?? "open", notRetried).add();
  }

  /** Only names that engines have said: what clients write would make series without an end. */
  #modelOf({ model }: Exchange): string {
    if (model === null) return "";
    return this.#registry.serves(model) ? model : "unknown";
  }

  #leaseEnded(lease: Lease, outcome: Outcome): void {
    const node = this.of(lease.node);
    add(node.outcomes, outcome.kind);
    const { firstByteAtMs, startedAtMs, pieces } = lease;
    const nowMs = this.#now();
    if (isFailure(outcome)) {
      node.failed.add();
      node.failedAtMs.add(nowMs);
    }
    if (firstByteAtMs === null) return;
    node.firstByte.observe((firstByteAtMs - startedAtMs) / 1_000);
    node.firstBytesMs.add(firstByteAtMs - startedAtMs);
    if (pieces < 2) return;
    const pieceMs = (nowMs - firstByteAtMs) / (pieces - 1);
    node.piece.observe(pieceMs / 1_000);
    node.piecesMs.add(pieceMs);
  }
}

function isFailure({ kind, status, detail }: NonNullable<Try["outcome"]>): boolean {
  if (kind === "answered") return (status ?? 0) >= 500;
  // One that says why was taken off its node.
  return kind !== "cancelled" || detail !== undefined;
}

function add<K>(counts: Map<K, Counter>, key: K): void {
  let counter = counts.get(key);
  if (counter === undefined) {
    counter = new Counter();
    counts.set(key, counter);
  }
  counter.add();
}
