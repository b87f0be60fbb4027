import { isAnswer, type ProbeResult, readHealth } from "../core/engine/health-answer.ts";
import type { Node } from "../core/pool/node.ts";
import { ask } from "./ask.ts";
import { type Questions, Rounds } from "./probe-rounds.ts";

export interface HealthProberOptions extends Questions {
  /** Between two probes of a node in good health, ms. */
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** Path asked, such as `/health`. */
  readonly path: string;
}

/**
 * A probe that a failed request triggers has this long, or as many times what the node's probes have
 * taken: others wait to hear what it finds, and an SGLang takes 1.0 s for each in the best of health.
 */
const TRIGGERED_TIMEOUT_MS = 1_000;
const TIMES_ITS_OWN = 3;
/** How much of what a probe took longest counts after one more probe. */
const RECORD_FADES = 0.9;
/** A time limit that runs out so much too late says that the proxy itself stood still, ms. */
const STALL_MS = 250;
/** Health answers are a line of JSON; whoever sends more is no engine. */
const MAX_BYTES = 64 * 1024;
/** Another path than `/health` may be a list of models. */
const MAX_PAGE_BYTES = 4 * 1024 * 1024;

/**
 * Asks every node how it is: at once when it joins or fails a request, then as its health wants; one
 * that was removed as long as it has requests: a process that stands still would hold them for ever.
 */
export class HealthProber {
  readonly #options: HealthProberOptions;
  readonly #rounds: Rounds;
  /** What the probes of each node that were answered took, the longest of late, ms. */
  readonly #tookMs = new WeakMap<Node, number>();
  /** Questions under way whose answers requests wait for. */
  readonly #asked = new Map<Node, Promise<boolean>>();
  #unsubscribe: (() => void) | null = null;

  constructor(options: HealthProberOptions) {
    this.#options = options;
    const { clock, random, intervalMs, onError } = options;
    this.#rounds = new Rounds({
      clock,
      random,
      onError,
      ask: (node, atOnce) => this.#probe(node, atOnce),
      delayMs: (node) => node.health.nextProbeMs(clock.now(), intervalMs),
    });
  }

  start(): void {
    const { registry } = this.#options;
    this.#unsubscribe = registry.subscribe({
      nodeAdded: (node) => this.#rounds.add(node),
      nodeRemoved: (node) => {
        if (node.inFlight === 0) this.#rounds.remove(node);
      },
      probeWanted: (node) => this.#rounds.now(node),
    });
    for (const node of registry.nodes()) this.#rounds.add(node);
  }

  stop(): void {
    this.#unsubscribe?.();
    this.#rounds.stop();
  }

  /** Whether the node says now that it is well and awake; true where it says nothing in time. Never rejects. */
  isWell(node: Node): Promise<boolean> {
    const asked = this.#asked.get(node);
    if (asked !== undefined) return asked;
    const answer = this.#askBoth(node);
    this.#asked.set(node, answer);
    void answer.finally(() => this.#asked.delete(node));
    return answer;
  }

  async #askBoth(node: Node): Promise<boolean> {
    const { headers, fetch } = this.#options;
    const timeoutMs = this.#timeoutMs(node, true);
    const limits = { timeoutMs, maxBytes: MAX_BYTES, headers, fetch };
    // Asleep, vLLM's health check is good, and LMDeploy's for up to 12 s. Others have no such path.
    const [{ kind }, asleep] = await Promise.all([
      this.#ask(node, true),
      ask(`${node.url}/is_sleeping`, limits),
    ]);
    const isAsleep =
      "status" in asleep && asleep.status === 200 && /"is_sleeping":\s*true/.test(asleep.body);
    return (kind === "ok" || kind === "timeout") && !isAsleep;
  }

  async #ask(node: Node, atOnce: boolean): Promise<ProbeResult> {
    const { path, headers, fetch } = this.#options;
    const timeoutMs = this.#timeoutMs(node, atOnce);
    const maxBytes = path === "/health" ? MAX_BYTES : MAX_PAGE_BYTES;
    return readHealth(path, await ask(node.url + path, { timeoutMs, maxBytes, headers, fetch }));
  }

  async #probe(node: Node, atOnce: boolean): Promise<void> {
    const { registry, clock } = this.#options;
    const isMember = () => registry.get(node.url) === node;
    if (!isMember() && node.inFlight === 0) {
      this.#rounds.remove(node);
      return;
    }
    const { generation, progress } = node;
    const timeoutMs = this.#timeoutMs(node, atOnce);
    const askedAtMs = clock.now();
    const result = await this.#ask(node, atOnce);
    if (node.generation !== generation) {
      // Another process is there now, or nobody: whoever found that out wants a probe of its own.
      this.#rounds.now(node);
      return;
    }
    const tookMs = clock.now() - askedAtMs;
    if (isAnswer(result)) this.#answered(node, tookMs);
    if (result.kind === "timeout" && tookMs > timeoutMs + STALL_MS) {
      // The proxy stood still: the answer may lie in the socket, unread.
      this.#rounds.now(node);
      return;
    }
    // An engine that leaves stops listening before it has answered everything.
    const mayFinish = !isMember() && result.kind === "refused";
    if (!mayFinish) registry.learning.probed(node, result, node.progress !== progress);
  }

  #answered(node: Node, tookMs: number): void {
    this.#tookMs.set(node, Math.max(tookMs, (this.#tookMs.get(node) ?? 0) * RECORD_FADES));
  }

  #timeoutMs(node: Node, atOnce: boolean): number {
    const { timeoutMs } = this.#options;
    const tookMs = this.#tookMs.get(node);
    // Nothing is known of one that has never answered.
    if (!atOnce || tookMs === undefined) return timeoutMs;
    return Math.min(timeoutMs, Math.max(TRIGGERED_TIMEOUT_MS, TIMES_ITS_OWN * tookMs));
  }
}
