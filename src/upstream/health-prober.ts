import type { Clock } from "../core/clock.ts";
import type { ProbeResult } from "../core/engine/health-answer.ts";
import { readHealth } from "../core/engine/health-answer.ts";
import type { Node } from "../core/pool/node.ts";
import type { Registry } from "../core/pool/registry.ts";
import { type AskOptions, ask } from "./ask.ts";

export interface HealthProberOptions {
  readonly registry: Registry;
  /** Between two probes of a node in good health, ms. */
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** Path asked, such as `/health`. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly fetch: AskOptions["fetch"];
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** A probe that a failed request triggers has this long: others wait to hear what it finds. */
const TRIGGERED_TIMEOUT_MS = 1_000;
/** Health answers are a line of JSON; whoever sends more is no engine. */
const MAX_BYTES = 64 * 1024;
/** Probes are moved by up to this fraction so that they do not march in step. */
const JITTER = 0.1;

interface Schedule {
  /** Prevents the next probe; null while none is due. */
  cancel: (() => void) | null;
  probing: boolean;
  /** Asked for while a probe was under way: that one may have begun before the reason for it. */
  again: boolean;
}

/**
 * Asks every node how it is: at once when it joins or fails a request, then as its health wants; one
 * that was removed as long as it has requests: a process that stands still would hold them for ever.
 */
export class HealthProber {
  readonly #options: HealthProberOptions;
  readonly #schedules = new Map<Node, Schedule>();
  #unsubscribe: (() => void) | null = null;

  constructor(options: HealthProberOptions) {
    this.#options = options;
  }

  start(): void {
    const { registry } = this.#options;
    this.#unsubscribe = registry.subscribe({
      nodeAdded: (node) => this.#add(node),
      nodeRemoved: (node) => {
        if (node.inFlight === 0) this.#remove(node);
      },
      probeWanted: (node) => this.#probeNow(node),
    });
    for (const node of registry.nodes()) this.#add(node);
  }

  stop(): void {
    this.#unsubscribe?.();
    for (const node of [...this.#schedules.keys()]) this.#remove(node);
  }

  #add(node: Node): void {
    if (this.#schedules.has(node)) return;
    this.#schedules.set(node, { cancel: null, probing: false, again: false });
    this.#probeNow(node);
  }

  #remove(node: Node): void {
    this.#schedules.get(node)?.cancel?.();
    this.#schedules.delete(node);
  }

  #probeNow(node: Node): void {
    const schedule = this.#schedules.get(node);
    if (schedule === undefined) return;
    if (schedule.probing) schedule.again = true;
    else void this.#probe(node, schedule, TRIGGERED_TIMEOUT_MS);
  }

  async #probe(node: Node, schedule: Schedule, limitMs: number): Promise<void> {
    const { registry, timeoutMs } = this.#options;
    if (registry.get(node.url) !== node && node.inFlight === 0) {
      this.#remove(node);
      return;
    }
    schedule.cancel?.();
    schedule.cancel = null;
    schedule.probing = true;
    schedule.again = false;
    const progressBefore = node.progress;
    const result = await this.#askHealth(node, Math.min(limitMs, timeoutMs));
    schedule.probing = false;
    if (this.#schedules.get(node) !== schedule) return;
    // An engine that leaves stops listening before it has answered everything.
    const mayFinish = registry.get(node.url) !== node && result.kind === "refused";
    if (!mayFinish) registry.learning.probed(node, result, node.progress !== progressBefore);
    if (schedule.again) void this.#probe(node, schedule, TRIGGERED_TIMEOUT_MS);
    else this.#schedule(node, schedule);
  }

  #schedule(node: Node, schedule: Schedule): void {
    const { intervalMs, timeoutMs, clock, random } = this.#options;
    const delayMs =
      node.health.nextProbeMs(clock.now(), intervalMs) * (1 + JITTER * (random() - 0.5));
    schedule.cancel = clock.after(delayMs, () => void this.#probe(node, schedule, timeoutMs));
  }

  async #askHealth(node: Node, timeoutMs: number): Promise<ProbeResult> {
    const { path, headers, fetch } = this.#options;
    const answer = await ask(node.url + path, { timeoutMs, maxBytes: MAX_BYTES, headers, fetch });
    return readHealth(path, answer);
  }
}
