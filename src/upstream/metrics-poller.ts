import { showsUsage } from "../core/engine/kinds.ts";
import { readLoadSignals } from "../core/engine/load-signals.ts";
import type { Node } from "../core/pool/node.ts";
import { ask } from "./ask.ts";
import { wantsKey } from "./key-advice.ts";
import { type Questions, Rounds } from "./probe-rounds.ts";

export interface MetricsPollerOptions extends Questions {
  /** Between two polls of a node, ms. */
  readonly intervalMs: number;
  /** Called once for a node that shows no KV-cache usage, with the reason. */
  readonly onNoUsage: (node: Node, reason: string) => void;
}

/** An engine with many models and histograms shows some hundred KB; more than this is not read. */
const MAX_BYTES = 8 * 1024 * 1024;

/** Reads the load gauges of all nodes, each in its own time; a slow node holds up only itself. */
export class MetricsPoller {
  readonly #options: MetricsPollerOptions;
  readonly #rounds: Rounds;
  readonly #toldOf = new WeakSet<Node>();
  #unsubscribe: (() => void) | null = null;

  constructor(options: MetricsPollerOptions) {
    this.#options = options;
    const { clock, random, intervalMs, onError } = options;
    this.#rounds = new Rounds({
      clock,
      random,
      onError,
      ask: (node) => this.#poll(node),
      delayMs: () => intervalMs,
    });
  }

  start(): void {
    const { registry } = this.#options;
    this.#unsubscribe = registry.subscribe({
      nodeAdded: (node) => this.#rounds.add(node),
      nodeRemoved: (node) => this.#rounds.remove(node),
      nodeRestarted: (node) => this.#rounds.now(node),
      stateChanged: (node, _from, to) => {
        if (to === "healthy") this.#rounds.now(node);
      },
    });
    for (const node of registry.nodes()) this.#rounds.add(node);
  }

  stop(): void {
    this.#unsubscribe?.();
    this.#rounds.stop();
  }

  async #poll(node: Node): Promise<void> {
    if (!node.health.listens) return;
    const { registry, clock, intervalMs, headers, fetch } = this.#options;
    const askedAtMs = clock.now();
    const { generation } = node;
    const page = (path: string) =>
      ask(node.url + path, { timeoutMs: intervalMs, maxBytes: MAX_BYTES, headers, fetch });
    const first = await page("/metrics");
    // Mounted applications have it behind a slash. Nothing else is followed: it could lead anywhere.
    const isElsewhere = !("kind" in first) && first.status >= 300 && first.status < 400;
    const answer = isElsewhere ? await page("/metrics/") : first;
    // What the engine before it answers says nothing of the one there now.
    if (node.generation !== generation) return;
    if ("kind" in answer) return this.#noUsage(node, answer.detail);
    if (answer.status !== 200) {
      registry.learning.foundAsleep(node, false);
      return this.#noUsage(node, whyNoPage(answer.status, headers));
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

/** Why an answer is no page of metrics, and what to do. */
function whyNoPage(status: number, asked: Readonly<Record<string, string>>): string {
  const what = `GET /metrics answered ${status}`;
  if (status === 401 || status === 403) return `${what}: ${wantsKey(asked)}`;
  return `${what}; start it with metrics on`;
}
