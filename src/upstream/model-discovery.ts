import type { Clock } from "../core/clock.ts";
import { readModels } from "../core/engine/model-list.ts";
import type { Node } from "../core/pool/node.ts";
import type { Registry } from "../core/pool/registry.ts";
import { type AskOptions, ask } from "./ask.ts";
import { Rounds } from "./rounds.ts";

export interface ModelDiscoveryOptions {
  readonly registry: Registry;
  readonly timeoutMs: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly fetch: AskOptions["fetch"];
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Given what nobody expected; asking goes on. */
  readonly onError: (error: unknown) => void;
}

/** Adapters and aliases appear while engines run. */
const INTERVAL_MS = 60_000;
/** An unknown model makes the proxy look again, but not more often than this. */
const REFRESH_MS = 1_000;
const MAX_BYTES = 4 * 1024 * 1024;

/** Learns from each node's `/v1/models` what it serves. */
export class ModelDiscovery {
  readonly #options: ModelDiscoveryOptions;
  readonly #asking = new Map<
    Node,
    { readonly generation: number; readonly answer: Promise<void> }
  >();
  readonly #rounds: Rounds;
  #refreshedAtMs = Number.NEGATIVE_INFINITY;
  #refreshing: Promise<void> = Promise.resolve();
  #unsubscribe: (() => void) | null = null;

  constructor(options: ModelDiscoveryOptions) {
    this.#options = options;
    const { clock, random, onError } = options;
    this.#rounds = new Rounds({
      clock,
      random,
      onError,
      ask: async (node) => {
        if (node.health.alive) await this.#ask(node);
      },
      delayMs: () => INTERVAL_MS,
    });
  }

  start(): void {
    const { registry } = this.#options;
    this.#unsubscribe = registry.subscribe({
      nodeAdded: (node) => this.#rounds.add(node),
      nodeRemoved: (node) => this.#rounds.remove(node),
      stateChanged: (node, _from, to) => {
        if (to === "healthy") void this.#ask(node);
      },
      // One that was healthy when it registered again changes no state, and may serve others now.
      nodeRestarted: (node) => {
        if (node.health.alive) void this.#ask(node);
      },
    });
    for (const node of registry.nodes()) this.#rounds.add(node);
  }

  stop(): void {
    this.#unsubscribe?.();
    this.#rounds.stop();
  }

  /** Asks all healthy nodes again, at most once a second; resolves when their answers are in. */
  refresh(): Promise<void> {
    const nowMs = this.#options.clock.now();
    if (nowMs - this.#refreshedAtMs >= REFRESH_MS) {
      this.#refreshedAtMs = nowMs;
      this.#refreshing = this.#askAll();
    }
    return this.#refreshing;
  }

  async #askAll(): Promise<void> {
    const nodes = this.#options.registry.nodes().filter((node) => node.health.alive);
    await Promise.all(nodes.map((node) => this.#ask(node)));
  }

  #ask(node: Node): Promise<void> {
    const { generation } = node;
    const running = this.#asking.get(node);
    // What the engine before it answers is of no use.
    if (running?.generation === generation) return running.answer;
    const answer = this.#askOne(node).finally(() => {
      if (this.#asking.get(node)?.generation === generation) this.#asking.delete(node);
    });
    this.#asking.set(node, { generation, answer });
    return answer;
  }

  async #askOne(node: Node): Promise<void> {
    const { registry, timeoutMs, headers, fetch } = this.#options;
    const { generation } = node;
    const answer = await ask(`${node.url}/v1/models`, {
      timeoutMs,
      maxBytes: MAX_BYTES,
      headers,
      fetch,
    });
    if ("kind" in answer || answer.status !== 200 || node.generation !== generation) return;
    const models = readModels(answer.body);
    if (models !== null) registry.membership.discovered(node, models);
  }
}
