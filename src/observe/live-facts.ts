/** What one process knows of what the live page shows: of its requests, and of nodes by them. */
import type { Clock } from "../core/clock.ts";
import type { Exchange, Exchanges } from "../core/exchange.ts";
import type { Node } from "../core/pool/node.ts";
import type { Registry } from "../core/pool/registry.ts";
import { FailureSorts } from "./failure-sorts.ts";
import { failureCells, openNow, requestCells } from "./live-rows.ts";
import type { Metrics } from "./metrics.ts";
import { type NodeFigures, nodeFigures, oldestLeaseMs } from "./node-figures.ts";
import { levelOf } from "./request-outcome.ts";
import type { Row } from "./table-changes.ts";

/** Of a node, since this process knows it. */
export interface NodeFacts {
  readonly url: string;
  /** Attempts that have ended. */
  readonly attempts: number;
  /** Answers that have begun, and how long those took to do so together, s. */
  readonly firstBytes: number;
  readonly firstByteS: number;
  /** When its oldest open request was sent; null without one. */
  readonly oldestMs: number | null;
  readonly figures: NodeFigures | null;
}

/** Times are of the process' monotonic clock, ms; keys of rows are its own. */
export interface LiveFacts {
  /** Wall clock when the monotonic one was 0, ms since 1970. */
  readonly epochMs: number;
  /** Requests that have not ended, and those of them that wait for a place or a node. */
  readonly open: number;
  readonly waiting: number;
  /** Whether the process is about to end. */
  readonly leaving: boolean;
  /** Requests that have ended since it started, and those that failed. */
  readonly requests: number;
  readonly failed: number;
  /** Of those that have not ended the oldest, oldest first. */
  readonly oldest: readonly Row[];
  /** How many run of each model. */
  readonly byModel: readonly (readonly [name: string, open: number])[];
  /** The last that failed, a row for each sort, the latest first. */
  readonly failures: readonly Row[];
  readonly nodes: readonly NodeFacts[];
}

/** Medians take time, and change slowly: how often they are worked out, ms. */
const FIGURES_MS = 5_000;

export interface OwnFactsOptions {
  readonly registry: Registry;
  readonly exchanges: Exchanges;
  readonly metrics: Metrics;
  readonly clock: Pick<Clock, "now" | "wallMs">;
  readonly waiting: () => number;
  readonly leaving: () => boolean;
}

export class OwnFacts {
  readonly #options: OwnFactsOptions;
  readonly #epochMs: number;
  readonly #failures = new FailureSorts();
  readonly #keys = new WeakMap<Exchange, number>();
  #lastKey = 0;
  #figures: ReadonlyMap<Node, NodeFigures> = new Map();
  #figuresAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: OwnFactsOptions) {
    this.#options = options;
    this.#epochMs = Math.round(options.clock.wallMs() - options.clock.now());
  }

  /** A request has ended. */
  readonly ended = (exchange: Exchange): void => {
    if (levelOf(exchange) !== "warning") return;
    this.#failures.add([this.#keyOf(exchange), failureCells(exchange)]);
  };

  readonly facts = (): LiveFacts => {
    const { registry, exchanges, metrics, clock, waiting, leaving } = this.#options;
    const nowMs = clock.now();
    if (nowMs - this.#figuresAtMs >= FIGURES_MS) {
      this.#figures = nodeFigures(registry, metrics, nowMs);
      this.#figuresAtMs = nowMs;
    }
    const { oldest, byModel } = openNow(exchanges);
    return {
      epochMs: this.#epochMs,
      open: exchanges.open.size,
      waiting: waiting(),
      leaving: leaving(),
      ...counted(metrics),
      oldest: oldest.map((one) => [this.#keyOf(one), requestCells(one, nowMs)]),
      byModel: [...byModel],
      failures: this.#failures.rows(),
      nodes: registry.nodes().map((node) => this.#ofNode(node)),
    };
  };

  #ofNode(node: Node): NodeFacts {
    const { outcomes, firstByte } = this.#options.metrics.of(node);
    let attempts = 0;
    for (const { value } of outcomes.values()) attempts += value;
    return {
      url: node.url,
      attempts,
      firstBytes: firstByte.count,
      firstByteS: firstByte.sum,
      oldestMs: oldestLeaseMs(node),
      figures: this.#figures.get(node) ?? null,
    };
  }

  /** A number that nothing else here ever gets. */
  #keyOf(exchange: Exchange): number {
    let key = this.#keys.get(exchange);
    if (key === undefined) {
      this.#lastKey += 1;
      key = this.#lastKey;
      this.#keys.set(exchange, key);
    }
    return key;
  }
}

function counted({ requests: counters }: Metrics): Pick<LiveFacts, "requests" | "failed"> {
  let requests = 0;
  let failed = 0;
  for (const { labels, value } of counters) {
    requests += value.value;
    const isBad = Number(labels.code) >= 500 || labels.outcome === "broken";
    if (isBad) failed += value.value;
  }
  return { requests, failed };
}
