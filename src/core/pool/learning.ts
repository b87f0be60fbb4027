import { isAnswer, type ProbeResult } from "../engine/health-answer.ts";
import { type EngineKind, gaugesRefreshMs } from "../engine/kinds.ts";
import type { LoadSample } from "../engine/load-signals.ts";
import type { Failure } from "../failure.ts";
import { isBadAnswer, passesTrial, passOverMs } from "./health.ts";
import type { Answered, Lease, Outcome } from "./lease.ts";
import type { ModelIndex } from "./model-index.ts";
import type { Node } from "./node.ts";
import type { Listeners } from "./registry-listener.ts";

/** What probes, gauges and the outcomes of requests teach of nodes. */
export class Learning {
  readonly #index: ModelIndex;
  readonly #listeners: Listeners;
  readonly #now: () => number;

  /** @param now Monotonic clock, ms. */
  constructor(index: ModelIndex, listeners: Listeners, now: () => number) {
    this.#index = index;
    this.#listeners = listeners;
    this.#now = now;
  }

  /** A metrics poll that was begun at `askedAtMs` came back. */
  sampled(node: Node, sample: LoadSample, engine: EngineKind | null, askedAtMs: number): void {
    let open = 0;
    for (const lease of node.leases) if (lease.startedAtMs >= askedAtMs) open += 1;
    node.cache.sampled(sample, askedAtMs, open, gaugesRefreshMs(engine));
    if (engine !== null) node.engine = engine;
  }

  /** The node's gauges say that it is asleep, or they do not: asleep it would take requests and answer none. */
  foundAsleep(node: Node, asleep: boolean): void {
    this.#listeners.change(node, () => node.health.gaugesRead(asleep, this.#now()));
    if (asleep) this.#moveRequests(node, false);
  }

  /** A health probe came back; `progressed`: the node sent bytes of some answer meanwhile. */
  probed(node: Node, result: ProbeResult, progressed: boolean): void {
    const wasDown = node.health.down;
    // Before the change is told, of which it is the reason.
    if ("detail" in result) node.lastError = result.detail;
    this.#listeners.change(node, () => node.health.probed(result, this.#now(), progressed));
    if (!("detail" in result) && node.health.state === "healthy") node.lastError = null;
    if (result.kind === "refused") this.#foundAbsent(node);
    else if (isAnswer(result)) node.absent = false;
    if (node.health.down) this.#moveRequests(node, wasDown);
  }

  /** Nobody listens: whatever process listens there next is another one. */
  #foundAbsent(node: Node): void {
    if (!node.absent) this.#listeners.restarted(node, "gone");
  }

  /** The node refused a connection that was no request: a free, a handshake. */
  refusedConnection(node: Node): void {
    this.#foundAbsent(node);
    this.suspect(node);
  }

  /** Somebody found out that the engine behind the URL is another process than before. */
  engineReplaced(node: Node): void {
    this.#listeners.restarted(node, "gone");
    this.suspect(node);
  }

  /** Something beside a request failed at the node: it should be probed at once. */
  suspect(node: Node): void {
    this.#listeners.probeWanted(node);
  }

  /**
   * Its requests that have no byte yet would wait for a dead engine for ever: they go elsewhere. Those
   * that came although it was down have nowhere else to go.
   */
  #moveRequests(node: Node, wasDown: boolean): void {
    for (const lease of node.leases) {
      if (lease.firstByteAtMs !== null || (wasDown && lease.lastResort)) continue;
      lease.sender?.evict("node_ejected");
    }
  }

  /** A good answer shows at its head what the node is worth; the end of a stream may be minutes away. */
  answering(lease: Lease, status: number): void {
    const { node } = lease;
    if (lease.generation !== node.generation || !passesTrial(status)) return;
    const nowMs = this.#now();
    node.absent = false;
    this.#listeners.change(node, () => {
      node.health.answered(status, nowMs, () => false);
      node.health.trialEnded(lease, true, nowMs);
    });
  }

  ended(lease: Lease, outcome: Outcome, nowMs: number): void {
    const { node } = lease;
    // A request sent before the engine was replaced says nothing of the engine there now.
    const stale = lease.generation !== node.generation;
    if (stale || outcome.kind === "cancelled") node.health.trialEnded(lease, null, nowMs);
    else if (outcome.kind === "answered") this.#learnAnswer(lease, outcome, nowMs);
    else this.#learnFailure(lease, outcome, nowMs);
    const isBad =
      outcome.kind === "answered" ? isBadAnswer(outcome.status) : outcome.kind !== "cancelled";
    if (isBad) this.suspect(node);
  }

  #learnFailure(lease: Lease, outcome: Failure, nowMs: number): void {
    const { node } = lease;
    node.lastError = outcome.detail;
    node.charge(nowMs);
    this.#listeners.change(node, () => {
      if (outcome.kind !== "timeout") node.health.lost(nowMs);
      node.health.trialEnded(lease, false, nowMs);
    });
    if (outcome.kind === "refused") this.#foundAbsent(node);
  }

  #learnAnswer(lease: Lease, outcome: Answered, nowMs: number): void {
    const { node } = lease;
    const { status } = outcome;
    node.absent = false;
    if (status >= 200 && status < 300) node.answered(nowMs - lease.startedAtMs, nowMs);
    const busy = status === 429 || status === 503;
    if (busy) node.health.passOver(passOverMs(outcome.retryAfterMs ?? 0), nowMs);
    const failed = isBadAnswer(status);
    if (failed || busy) node.charge(nowMs);
    if (failed) node.lastError = `answered a request with ${status}`;
    this.#listeners.change(node, () => {
      node.health.answered(status, nowMs, () => this.#mayEject(node));
      node.health.trialEnded(lease, passesTrial(status), nowMs);
    });
  }

  /** Bad answers may be the prompts' fault: they never take more than half of a model's nodes. */
  #mayEject(node: Node): boolean {
    const models = node.models.length > 0 ? node.models : [null];
    return models.every((model) => {
      const peers = this.#index.serving(model, node.role);
      const out = peers.filter((peer) => peer.health.ejectedByAnswers).length;
      return (out + 1) * 2 <= peers.length;
    });
  }
}
