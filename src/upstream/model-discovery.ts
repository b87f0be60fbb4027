import type { Answer } from "../core/engine/answer.ts";
import { readModels } from "../core/engine/model-list.ts";
import type { Role } from "../core/engine/roles.ts";
import type { Failure } from "../core/failure.ts";
import type { Node } from "../core/pool/node.ts";
import { ask } from "./ask.ts";
import { wantsKey } from "./key-advice.ts";
import { type Questions, Rounds } from "./probe-rounds.ts";

export interface ModelDiscoveryOptions extends Questions {
  readonly timeoutMs: number;
  /** Called when a node's list cannot be read, with what to do about it; once for each reason. */
  readonly onNoList: (node: Node, reason: string) => void;
}

/** Adapters and aliases appear while engines run. */
const INTERVAL_MS = 60_000;
/** An engine that could not show its list is asked again so soon. */
const RETRY_MS = 5_000;
/** A request for a model that nobody is known to serve waits this long for nodes that start, ms, ... */
const STARTING_WAIT_MS = 2_000;
/** ... and this long for news of nodes whose lists are known: a list that hangs holds up no 404. */
const NEWS_WAIT_MS = 1_000;
/** An unknown model makes the proxy look again, but not more often than this. */
const REFRESH_MS = 1_000;
/** An answer that the model is not there makes it look again at that node, once for all within this time. */
const REREAD_DELAY_MS = 20;
const MAX_BYTES = 4 * 1024 * 1024;

/** Learns from each node's `/v1/models` what it serves. */
export class ModelDiscovery {
  readonly #options: ModelDiscoveryOptions;
  readonly #asking = new Map<
    Node,
    { readonly generation: number; readonly answer: Promise<void> }
  >();
  readonly #rounds: Rounds;
  readonly #rereading = new Map<Node, Promise<void>>();
  /** Requests that wait for a model to be known. */
  readonly #waiting = new Set<() => void>();
  #refreshedAtMs = Number.NEGATIVE_INFINITY;
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
      delayMs: (node) => (node.listed ? INTERVAL_MS : RETRY_MS),
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
      membershipChanged: () => this.#tell(),
    });
    for (const node of registry.nodes()) this.#rounds.add(node);
  }

  stop(): void {
    this.#unsubscribe?.();
    this.#rounds.stop();
  }

  /**
   * Resolves as soon as some node is known to serve `model`, or as nobody is likely to say so any more:
   * at the latest after two seconds.
   * @param role That the node is to have; null: any.
   */
  async find(model: string, role: Role | null = null): Promise<void> {
    const { registry, clock } = this.#options;
    const isServed = () =>
      role === null ? registry.serves(model) : registry.serving(model, role).length > 0;
    if (isServed() || registry.nodes().length === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    let isAsked = false;
    const look = () => {
      if (isServed() || (isAsked && !this.#mayLearnSoon(role))) resolve();
    };
    this.#waiting.add(look);
    const cancel = [
      clock.after(NEWS_WAIT_MS, () => {
        isAsked = true;
        look();
      }),
      clock.after(STARTING_WAIT_MS, resolve),
    ];
    void this.#refreshed(role).then(() => {
      isAsked = true;
      look();
    });
    await promise;
    this.#waiting.delete(look);
    for (const one of cancel) one();
  }

  /** Whether a node serves `model`, which it has just answered as if it did not: its list is read anew. */
  async stillServes(node: Node, model: string): Promise<boolean> {
    const { clock } = this.#options;
    const limit = Promise.withResolvers<void>();
    const cancel = clock.after(NEWS_WAIT_MS, limit.resolve);
    await Promise.race([this.#reread(node), limit.promise]);
    cancel();
    return node.models.includes(model);
  }

  /** Reads a node's list again, for all who want that at about the same time. */
  #reread(node: Node): Promise<void> {
    const { clock } = this.#options;
    const running = this.#rereading.get(node);
    if (running !== undefined) return running;
    const later = new Promise<void>((resume) => clock.after(REREAD_DELAY_MS, resume));
    const reread = later.then(async () => {
      // A list that was asked for before may not show what has changed since.
      await this.#asking.get(node)?.answer;
      this.#rereading.delete(node);
      if (node.health.alive) await this.#ask(node);
    });
    this.#rereading.set(node, reread);
    return reread;
  }

  /** All of a role; of any, for null. */
  #nodesOf(role: Role | null): Node[] {
    return this.#options.registry.nodes().filter((node) => role === null || node.role === role);
  }

  /** Whether a node that starts, or that has just come up, is about to say what it serves. */
  #mayLearnSoon(role: Role | null): boolean {
    return this.#nodesOf(role).some(
      ({ saysModels, noList, health }) =>
        !saysModels && noList === null && (health.state === "starting" || health.alive),
    );
  }

  #tell(): void {
    for (const look of this.#waiting) look();
  }

  /** Asks all healthy nodes again, at most once a second; resolves when those of a role have answered. */
  async #refreshed(role: Role | null): Promise<void> {
    const { clock, registry } = this.#options;
    const nowMs = clock.now();
    if (nowMs - this.#refreshedAtMs >= REFRESH_MS) {
      this.#refreshedAtMs = nowMs;
      for (const node of registry.nodes()) if (node.health.alive) void this.#ask(node);
    }
    await Promise.all(this.#nodesOf(role).map((node) => this.#asking.get(node)?.answer));
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
    if (node.generation !== generation) return;
    const models = "kind" in answer || answer.status !== 200 ? null : readModels(answer.body);
    if (models === null) this.#noList(node, whyNoList(answer, headers));
    else registry.membership.listed(node, models);
    this.#tell();
  }

  #noList(node: Node, reason: string): void {
    if (node.noList === reason) return;
    node.noList = reason;
    this.#options.onNoList(node, reason);
  }
}

/** Why an answer is no list of models, and what to do. */
function whyNoList(answer: Answer | Failure, asked: Readonly<Record<string, string>>): string {
  const what = "GET /v1/models";
  if ("kind" in answer) return `${what}: ${answer.detail}`;
  const { status } = answer;
  if (status === 401 || status === 403) {
    return `${what} answered ${status}: ${wantsKey(asked)}`;
  }
  if (status === 200) return `${what} answered something else than a list of models`;
  if (status >= 300 && status < 400) {
    return `${what} answered ${status}, a redirect; name the node by the URL that it leads to`;
  }
  return `${what} answered ${status}; register the node with its models, by POST /nodes/add`;
}
