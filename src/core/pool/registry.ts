import { isAnswer, type ProbeResult } from "../engine/health-answer.ts";
import { type EngineKind, gaugesRefreshMs } from "../engine/kinds.ts";
import type { LoadSample } from "../engine/load-signals.ts";
import type { Role } from "../engine/roles.ts";
import type { Failure } from "../failure.ts";
import { Chooser, type ChooserOptions, type NoNode, type Wanted } from "./choose.ts";
import { isBadAnswer, passesTrial, passOverMs } from "./health.ts";
import { type Answered, Lease, type LeaseListener, type Outcome } from "./lease.ts";
import { ModelIndex } from "./model-index.ts";
import { Node, type Registration } from "./node.ts";
import { Listeners, type RegistryListener } from "./registry-listener.ts";

export interface RegistryOptions extends ChooserOptions {
  /** Monotonic clock, ms. */
  readonly now: () => number;
}

/** All nodes by URL, and the only place where a node is chosen, reserved or changed. */
export class Registry {
  readonly #options: RegistryOptions;
  readonly #nodes = new Map<string, Node>();
  /** Removed nodes whose last requests still run: registering again must find their counters. */
  readonly #leaving = new Map<string, Node>();
  readonly #listeners = new Listeners();
  readonly #index = new ModelIndex(this.#nodes);
  readonly #chooser: Chooser;

  constructor(options: RegistryOptions) {
    this.#options = options;
    this.#chooser = new Chooser(options);
  }

  /** Calls `listener` from now on; the function returned ends that. */
  subscribe(listener: RegistryListener): () => void {
    return this.#listeners.add(listener);
  }

  get(url: string): Node | undefined {
    return this.#nodes.get(url);
  }

  /** All nodes, in the order they joined. */
  nodes(): Node[] {
    return [...this.#nodes.values()];
  }

  /** Every node that still has something to do with us: registered, or removed with requests in flight. */
  nodesInUse(): Node[] {
    return [...this.#nodes.values(), ...this.#leaving.values()];
  }

  /** Adds a node, or renews one: same URL, same node, counters kept, models and role replaced. */
  register(url: string, registration: Registration): Node {
    const known = this.#nodes.get(url) ?? this.#leaving.get(url);
    const node = known ?? new Node(url, registration);
    this.#leaving.delete(url);
    const added = !this.#nodes.has(url);
    this.#nodes.set(url, node);
    this.#index.changed();
    if (known !== undefined) this.#renew(node, registration);
    if (added) this.#listeners.tell((listener) => listener.nodeAdded?.(node));
    this.#listeners.tell((listener) => listener.membershipChanged?.());
    this.#listeners.tell((listener) => listener.probeWanted?.(node));
    return node;
  }

  #renew(node: Node, { models, role, speed }: Registration): void {
    node.registeredModels = models;
    node.discoveredModels = [];
    node.role = role;
    node.speed = speed;
    this.#change(node, () => node.health.registered());
    this.#restarted(node);
  }

  /** Takes a node out; its running requests finish. Returns it, or undefined when unknown. */
  remove(url: string): Node | undefined {
    const node = this.#nodes.get(url);
    if (node === undefined) return undefined;
    this.#nodes.delete(url);
    if (node.inFlight > 0) this.#leaving.set(url, node);
    // It is soon probed no more: should it register again, a probe has to say that it is well.
    node.health.drain();
    this.#index.changed();
    this.#listeners.tell((listener) => listener.nodeRemoved?.(node));
    this.#listeners.tell((listener) => listener.membershipChanged?.());
    return node;
  }

  /** No new requests for the node until it registers again. Returns it, or undefined when unknown. */
  drain(url: string): Node | undefined {
    const node = this.#nodes.get(url);
    if (node !== undefined) this.#change(node, () => node.health.drain());
    return node;
  }

  /** The engine's own list of models replaces what was discovered before. */
  discovered(node: Node, models: readonly string[]): void {
    if (models.join("\n") === node.discoveredModels.join("\n")) return;
    node.discoveredModels = models;
    this.#index.changed();
    this.#listeners.tell((listener) => listener.membershipChanged?.());
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
    this.#change(node, () => node.health.gaugesRead(asleep, this.#options.now()));
    if (asleep) this.#moveRequests(node, false);
  }

  /** A health probe came back; `progressed`: the node sent bytes of some answer meanwhile. */
  probed(node: Node, result: ProbeResult, progressed: boolean): void {
    const wasDown = node.health.down;
    this.#change(node, () => node.health.probed(result, this.#options.now(), progressed));
    if ("detail" in result) node.lastError = result.detail;
    else if (node.health.state === "healthy") node.lastError = null;
    if (result.kind === "refused") this.#foundAbsent(node);
    else if (isAnswer(result)) node.absent = false;
    if (node.health.down) this.#moveRequests(node, wasDown);
  }

  /** Nobody listens: whatever process listens there next is another one. */
  #foundAbsent(node: Node): void {
    if (!node.absent) this.#restarted(node);
  }

  #restarted(node: Node): void {
    node.restarted();
    this.#listeners.tell((listener) => listener.nodeRestarted?.(node));
  }

  /** The node refused a connection that was no request: a free, a handshake. */
  refusedConnection(node: Node): void {
    this.#foundAbsent(node);
    this.suspect(node);
  }

  /** Somebody found out that the engine behind the URL is another process than before. */
  engineReplaced(node: Node): void {
    this.#restarted(node);
    this.suspect(node);
  }

  /** Something beside a request failed at the node: it should be probed at once. */
  suspect(node: Node): void {
    this.#listeners.tell((listener) => listener.probeWanted?.(node));
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

  /** Whether a request that has tried some nodes could have another one now. */
  hasAnother({ model, role, tried }: Wanted): boolean {
    const nowMs = this.#options.now();
    return this.serving(model, role).some(
      (node) =>
        !tried.has(node) &&
        node.health.routable(nowMs) &&
        node.inFlight < this.#options.maxInFlightPerNode,
    );
  }

  /** Chooses a node and reserves it, in one synchronous step. */
  acquire(wanted: Wanted): Lease | NoNode {
    const startedAtMs = this.#options.now();
    const serving = this.serving(wanted.model, wanted.role);
    const choice = this.#chooser.choose(serving, wanted, startedAtMs);
    if (typeof choice === "string") return choice;
    const { node, trial, lastResort } = choice;
    const lease = new Lease(node, { startedAtMs, trial, lastResort }, this.#leases);
    node.leases.add(lease);
    node.cache.started();
    if (trial) node.health.trialStarted(lease);
    return lease;
  }

  /** What `acquire` would choose, without reserving it. */
  pick(wanted: Wanted): Node | NoNode {
    const serving = this.serving(wanted.model, wanted.role);
    const choice = this.#chooser.choose(serving, wanted, this.#options.now());
    return typeof choice === "string" ? choice : choice.node;
  }

  readonly #leases: LeaseListener = {
    answering: (lease, status) => this.#learnHead(lease, status),
    ended: (lease, outcome) => {
      const { node } = lease;
      const nowMs = this.#options.now();
      node.leases.delete(lease);
      node.cache.ended(lease.startedAtMs, nowMs);
      if (node.inFlight === 0) this.#leaving.delete(node.url);
      this.#learn(lease, outcome, nowMs);
      this.#listeners.leaseEnded(lease, outcome);
    },
  };

  /** A good answer shows at its head what the node is worth; the end of a stream may be minutes away. */
  #learnHead(lease: Lease, status: number): void {
    const { node } = lease;
    if (lease.generation !== node.generation || !passesTrial(status)) return;
    const nowMs = this.#options.now();
    node.absent = false;
    this.#change(node, () => {
      node.health.answered(status, nowMs, () => false);
      node.health.trialEnded(lease, true, nowMs);
    });
  }

  #learn(lease: Lease, outcome: Outcome, nowMs: number): void {
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
    this.#change(node, () => {
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
    this.#change(node, () => {
      node.health.answered(status, nowMs, () => this.#mayEject(node));
      node.health.trialEnded(lease, passesTrial(status), nowMs);
    });
  }

  /** Bad answers may be the prompts' fault: they never take more than half of a model's nodes. */
  #mayEject(node: Node): boolean {
    const models = node.models.length > 0 ? node.models : [null];
    return models.every((model) => {
      const peers = this.serving(model, node.role);
      const out = peers.filter((peer) => peer.health.ejectedByAnswers).length;
      return (out + 1) * 2 <= peers.length;
    });
  }

  /** Runs `act`, and tells of the change of state it made, if any. */
  #change(node: Node, act: () => void): void {
    const from = node.health.state;
    act();
    const to = node.health.state;
    if (from !== to) this.#listeners.tell((listener) => listener.stateChanged?.(node, from, to));
  }

  /** The nodes of a role that serve a model (any, for null), whatever their state. */
  serving(model: string | null, role: Role): readonly Node[] {
    return this.#index.serving(model, role);
  }

  /** Whether any registered node serves `model`. */
  serves(model: string): boolean {
    return this.#index.serves(model);
  }

  /** Every model that a registered node serves, each once. */
  models(): string[] {
    return this.#index.models();
  }
}
