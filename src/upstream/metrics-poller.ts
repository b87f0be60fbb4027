import type { Clock } from "../core/clock.ts";
import { showsUsage } from "../core/engine/kinds.ts";
import { readLoadSignals } from "../core/engine/load-signals.ts";
import type { Node } from "../core/pool/node.ts";
import type { Registry } from "../core/pool/registry.ts";
import { type AskOptions, ask } from "./ask.ts";

export interface MetricsPollerOptions {
  readonly registry: Registry;
  /** Between two polls of a node, ms. */
  readonly intervalMs: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly fetch: AskOptions["fetch"];
  readonly clock: Clock;
  /** Called once for a node that shows no KV-cache usage, with the reason. */
  readonly onNoUsage: (node: Node, reason: string) => void;
}

/** An engine with many models and histograms shows some hundred KB; more than this is not read. */
const MAX_BYTES = 8 * 1024 * 1024;

/** Reads the load gauges of all nodes side by side, on a timer; a slow node holds up only itself. */
export class MetricsPoller {
  readonly #options: MetricsPollerOptions;
  readonly #polling = new Set<Node>();
  readonly #toldOf = new WeakSet<Node>();
  #stopPolling: (() => void) | null = null;
  #unsubscribe: (() => void) | null = null;

  constructor(options: MetricsPollerOptions) {
    this.#options = options;
  }

  start(): void {
    const { registry, intervalMs, clock } = this.#options;
    this.#stopPolling = clock.every(intervalMs, () => {
      for (const node of registry.nodes()) void this.#poll(node);
    });
    this.#unsubscribe = registry.subscribe({
      stateChanged: (node, _from, to) => {
        if (to === "healthy") void this.#poll(node);
      },
    });
  }

  stop(): void {
    this.#stopPolling?.();
    this.#unsubscribe?.();
  }

  async #poll(node: Node): Promise<void> {
    if (this.#polling.has(node) || !node.health.listens) return;
    this.#polling.add(node);
    const { registry, clock, intervalMs, headers, fetch } = this.#options;
    const askedAtMs = clock.now();
    const { generation } = node;
    const answer = await ask(`${node.url}/metrics`, {
      timeoutMs: intervalMs,
      maxBytes: MAX_BYTES,
      headers,
      fetch,
    });
    this.#polling.delete(node);
    // What the engine before it answers says nothing of the one there now.
    if (node.generation !== generation) return;
    if ("kind" in answer) return this.#noUsage(node, answer.detail);
    if (answer.status !== 200) {
      registry.learning.foundAsleep(node, false);
      return this.#noUsage(
        node,
        `GET /metrics answered ${answer.status}; start it with metrics on`,
      );
    }
    const { kind, asleep, ...sample } = readLoadSignals(answer.body);
    registry.learning.sampled(node, sample, kind, askedAtMs);
    registry.learning.foundAsleep(node, asleep === true);
    if (sample.cacheUsage === null && showsUsage(kind))
      this.#noUsage(node, "/metrics shows no KV-cache usage");
    else node.noUsage = null;
  }

  #noUsage(node: Node, reason: string): void {
    node.noUsage = reason;
    if (this.#toldOf.has(node)) return;
    this.#toldOf.add(node);
    this.#options.onNoUsage(node, reason);
  }
}
