import type { LoadSample } from "./cache-usage.ts";
import { isBadAnswer, type ProbeResult } from "./health.ts";
import { type Answered, type Failure, Lease, type Outcome } from "./lease.ts";
import { type EngineKind, Node, type Registration, type Role } from "./node.ts";
import { Listeners, type RegistryListener } from "./registry-listener.ts";
import type { Strategy } from "./strategies/strategy.ts";

/** Why no node could be had. */
export type NoNode = "unknown_model" | "starting" | "full" | "unavailable";

/** What a request needs of a node. */
export interface Wanted {
  /** Null: any model will do. */
  readonly model: string | null;
  readonly role: Role;
  /** Nodes it has tried already; a request that has tried some gets only nodes known to be good. */
  readonly tried: ReadonlySet<Node>;
}

export interface RegistryOptions {
  /** Monotonic clock, ms. */
  readonly now: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly strategy: (role: Role) => Strategy;
  /** A load sample this old no longer counts, ms. */
  readonly sampleMaxAgeMs: number;
  /** Requests a node may have in flight; Infinity for no limit. */
  readonly maxInFlightPerNode: number;
}

const LONGEST_PASS_OVER_MS = 10_000;
const DEFAULT_PASS_OVER_MS = 1_000;

const ROLES = ["Hybrid", "Prefill", "Decode"] as const satisfies readonly Role[];

/** All nodes by URL, and the only place where a node is chosen, reserved or changed. */
export class Registry {
  readonly #options: RegistryOptions;
  readonly #nodes = new Map<string, Node>();
  /** Removed nodes whose last requests still run: registering again must find their counters. */
  readonly #leaving = new Map<string, Node>();
  readonly #listeners = new Listeners();
  #byModel: Map<string, Node[]> | null = null;
  readonly #candidates: Node[] = [];

  constructor(options: RegistryOptions) {
    this.#options = options;
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
    this.#byModel = null;
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

  #restarted(node: Node): void {
    node.restarted();
    this.#listeners.tell((listener) => listener.nodeRestarted?.(node));
  }

  /** Takes a node out; its running requests finish. Returns it, or undefined when unknown. */
  remove(url: string): Node | undefined {
    const node = this.#nodes.get(url);
    if (node === undefined) return undefined;
    this.#nodes.delete(url);
    if (node.inFlight > 0) this.#leaving.set(url, node);
    this.#byModel = null;
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
    this.#byModel = null;
    this.#listeners.tell((listener) => listener.membershipChanged?.());
  }

  /** A metrics poll that was begun at `askedAtMs` came back. */
  sampled(node: Node, sample: LoadSample, engine: EngineKind | null, askedAtMs: number): void {
    node.cache.sampled(sample, askedAtMs);
    if (engine !== null) node.engine = engine;
  }

  /** A health probe came back; `progressed`: the node sent bytes of some answer meanwhile. */
  probed(node: Node, result: ProbeResult, progressed: boolean): void {
    const refused = result.kind === "refused" && node.health.alive;
    this.#change(node, () => node.health.probed(result, this.#options.now(), progressed));
    if ("detail" in result) node.lastError = result.detail;
    else if (node.health.state === "healthy") node.lastError = null;
    // Nobody listens: whatever process listens there next is another one.
    if (refused) this.#restarted(node);
    if (node.health.state === "unhealthy" && "detail" in result) this.#moveRequests(node);
  }

  /** Its requests that have no byte yet would wait for a dead engine for ever: they go elsewhere. */
  #moveRequests(node: Node): void {
    for (const lease of [...node.leases]) {
      if (lease.firstByteAtMs === null) lease.evict?.("node_ejected");
    }
  }

  /** Chooses a node and reserves it, in one synchronous step. */
  acquire(wanted: Wanted): Lease | NoNode {
    const serving = this.serving(wanted.model, wanted.role);
    if (serving.length === 0) return "unknown_model";
    const first = wanted.tried.size === 0;
    const nowMs = this.#options.now();
    const candidates = this.#candidates;
    candidates.length = 0;
    let full = false;
    for (const node of serving) {
      if (wanted.tried.has(node)) continue;
      if (first && node.health.trialDue(nowMs)) return this.#lease(node, nowMs, true, false);
      if (!node.health.routable(nowMs)) continue;
      if (node.inFlight < this.#options.maxInFlightPerNode) candidates.push(node);
      else full = true;
    }
    if (candidates.length > 0) return this.#choose(wanted.role, nowMs, false);
    if (full) return "full";
    if (!first) return "unavailable";
    return this.#acquireLastResort(serving, wanted.role, nowMs);
  }

  /** Every node is ejected or passed over: rather than refuse everything, try them. */
  #acquireLastResort(serving: readonly Node[], role: Role, nowMs: number): Lease | NoNode {
    let none: NoNode = "unavailable";
    for (const node of serving) {
      if (node.health.state === "starting" && none === "unavailable") none = "starting";
      if (!node.health.lastResort) continue;
      if (node.inFlight < this.#options.maxInFlightPerNode) this.#candidates.push(node);
      else none = "full";
    }
    return this.#candidates.length > 0 ? this.#choose(role, nowMs, true) : none;
  }

  #choose(role: Role, nowMs: number, lastResort: boolean): Lease {
    const candidates = this.#candidates;
    let inFlight = 0;
    for (const node of candidates) inFlight += node.inFlight;
    for (const node of candidates) {
      node.observe(nowMs, this.#options.sampleMaxAgeMs, inFlight === node.inFlight);
    }
    const [only] = candidates;
    const node =
      only !== undefined && candidates.length === 1
        ? only
        : this.#options.strategy(role)(candidates, this.#options.random);
    return this.#lease(node, nowMs, false, lastResort);
  }

  #lease(node: Node, startedAtMs: number, trial: boolean, lastResort: boolean): Lease {
    const lease = new Lease(node, { startedAtMs, trial, lastResort }, this.#ended);
    node.leases.add(lease);
    node.cache.started();
    if (trial) node.health.trialStarted();
    return lease;
  }

  readonly #ended = (lease: Lease, outcome: Outcome): void => {
    const { node } = lease;
    node.leases.delete(lease);
    if (node.inFlight === 0) this.#leaving.delete(node.url);
    this.#learn(lease, outcome);
    this.#listeners.tell((listener) => listener.leaseEnded?.(lease, outcome));
  };

  #learn(lease: Lease, outcome: Outcome): void {
    const { node } = lease;
    const nowMs = this.#options.now();
    if (outcome.kind === "answered") this.#learnAnswer(lease, outcome, nowMs);
    else if (outcome.kind === "cancelled") node.health.trialEnded(null, nowMs);
    else this.#learnFailure(lease, outcome, nowMs);
  }

  #learnFailure(lease: Lease, outcome: Failure, nowMs: number): void {
    const { node } = lease;
    node.lastError = outcome.detail;
    node.charge(nowMs);
    this.#change(node, () => {
      if (outcome.kind !== "timeout") node.health.lost(nowMs);
      node.health.trialEnded(false, nowMs);
    });
    // A request sent before the engine was replaced says nothing of the engine there now.
    if (outcome.kind === "refused" && lease.generation === node.generation) this.#restarted(node);
    this.#listeners.tell((listener) => listener.probeWanted?.(node));
  }

  #learnAnswer(lease: Lease, outcome: Answered, nowMs: number): void {
    const { node } = lease;
    const { status } = outcome;
    if (status >= 200 && status < 300) node.latencies.add(nowMs - lease.startedAtMs);
    const busy = status === 429 || status === 503;
    if (busy) {
      const forMs = Math.min(outcome.retryAfterMs ?? DEFAULT_PASS_OVER_MS, LONGEST_PASS_OVER_MS);
      node.health.passOver(forMs, nowMs);
    }
    const failed = isBadAnswer(status);
    if (failed || busy) node.charge(nowMs);
    if (failed) node.lastError = `answered a request with ${status}`;
    if (lease.trial || failed) {
      this.#change(node, () => {
        node.health.answered(status, nowMs, this.#mayEject(node));
        if (lease.trial) node.health.trialEnded(status < 500 && status !== 429, nowMs);
      });
    } else {
      node.health.answered(status, nowMs, false);
    }
    if (failed) this.#listeners.tell((listener) => listener.probeWanted?.(node));
  }

  /** Bad answers may be the prompts' fault: they never take more than half of a model's nodes. */
  #mayEject(node: Node): boolean {
    return node.models.every((model) => {
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
    this.#byModel ??= this.#indexByModel();
    return this.#byModel.get(model === null ? role : `${role} ${model}`) ?? [];
  }

  #indexByModel(): Map<string, Node[]> {
    const index = new Map<string, Node[]>();
    for (const node of this.#nodes.values()) {
      for (const key of [node.role, ...node.models.map((model) => `${node.role} ${model}`)]) {
        const list = index.get(key);
        if (list === undefined) index.set(key, [node]);
        else list.push(node);
      }
    }
    return index;
  }

  /** Whether any registered node serves `model`. */
  serves(model: string): boolean {
    return ROLES.some((role) => this.serving(model, role).length > 0);
  }

  /** Every model that a registered node serves, each once. */
  models(): string[] {
    return [...new Set([...this.#nodes.values()].flatMap((node) => node.models))];
  }
}
