import type { Role } from "../engine/roles.ts";
import {
  type Choice,
  Chooser,
  type ChooserOptions,
  mayBeHad,
  type NoNode,
  type Wanted,
} from "./choose.ts";
import { type Elsewhere, NOBODY_ELSE } from "./elsewhere.ts";
import { Learning } from "./learning.ts";
import { Lease, type LeaseListener } from "./lease.ts";
import { Membership } from "./membership.ts";
import type { Node, OpenRequest } from "./node.ts";
import { Listeners, type RegistryListener } from "./registry-listener.ts";

export interface RegistryOptions extends ChooserOptions {
  /** Monotonic clock, ms. */
  readonly now: () => number;
  /** Given the first error of each listener; the others are told all the same. */
  readonly onListenerError: (error: unknown) => void;
  /** What other processes send to the same nodes; left out: there are none. */
  readonly elsewhere?: Elsewhere;
}

/** Other processes may take so many places away from a request, one after the other, before it waits. */
const MOST_LOST_PLACES = 8;

/** All nodes, and the only place where one is chosen and reserved. */
export class Registry {
  /** Which nodes there are. */
  readonly membership: Membership;
  /** What is known of them. */
  readonly learning: Learning;
  readonly #options: RegistryOptions;
  readonly #listeners: Listeners;
  readonly #chooser: Chooser;
  readonly #elsewhere: Elsewhere;
  #turn = 0;

  constructor(options: RegistryOptions) {
    this.#options = options;
    this.#listeners = new Listeners(options.onListenerError);
    this.#elsewhere = options.elsewhere ?? NOBODY_ELSE;
    this.membership = new Membership(this.#listeners, this.#elsewhere);
    this.learning = new Learning(this.membership.index, this.#listeners, options.now);
    this.#chooser = new Chooser(options);
    for (const { listener } of options.knowledge ?? []) this.subscribe(listener);
  }

  /** Calls `listener` from now on; the function returned ends that. */
  subscribe(listener: RegistryListener): () => void {
    return this.#listeners.add(listener);
  }

  get(url: string): Node | undefined {
    return this.membership.get(url);
  }

  /** All nodes, in the order they joined. */
  nodes(): Node[] {
    return this.membership.nodes();
  }

  /** Every node that still has something to do with us: a member, or removed with requests in flight. */
  nodesInUse(): Node[] {
    return this.membership.nodesInUse();
  }

  /** Whether a request that has tried some nodes could have another one, now or when it has a place. */
  hasAnother({
    model,
    role,
    tried,
    only = null,
    asked,
    hasAnswer = false,
  }: Pick<Wanted, "model" | "role" | "tried" | "only" | "asked" | "hasAnswer">): boolean {
    const isLookup = asked.kept === "lookup";
    const nowMs = this.#options.now();
    return this.serving(model, role).some(
      (node) =>
        !tried.has(node) &&
        (isLookup ? node.health.alive : mayBeHad(node, { hasAnswer }, nowMs)) &&
        (only === null || node === only),
    );
  }

  /**
   * Whether a request that was refused, or answered with nothing, at its first node should be tried on a peer, which
   * shows whose fault that is.
   * @param status What it got there.
   */
  mayAskPeer(refused: Lease, status: number, { model, role, tried, only = null }: Wanted): boolean {
    const nowMs = this.#options.now();
    return (
      tried.size === 0 &&
      only === null &&
      !refused.lastResort &&
      this.learning.secondOpinions.mayAsk(refused, status) &&
      // With a place: it does not wait for one, and the retry would be lost to its budget.
      this.serving(model, role).some(
        (node) =>
          node !== refused.node &&
          node.health.routable(nowMs) &&
          node.inFlight < this.#options.maxInFlightPerNode,
      )
    );
  }

  /** Reserves a peer for what was refused, or answered with nothing: rather one whose own refusals are not in doubt. */
  #acquirePeer(wanted: Wanted, refused: Lease): Lease | NoNode {
    const nowMs = this.#options.now();
    const among = ({ conduct }: Node) => !conduct.refusals.isSuspect(nowMs);
    const unsuspected = this.acquire({ ...wanted, among });
    const lease = unsuspected instanceof Lease ? unsuspected : this.acquire(wanted);
    if (lease instanceof Lease) this.learning.secondOpinions.asks(lease, refused);
    return lease;
  }

  /**
   * Chooses a node and reserves it, in one synchronous step.
   * @param refused Where it was refused just now, or answered with nothing.
   */
  acquire(wanted: Wanted, refused: Lease | null = null): Lease | NoNode {
    if (refused !== null) return this.#acquirePeer(wanted, refused);
    const startedAtMs = this.#options.now();
    const serving = this.serving(wanted.model, wanted.role);
    for (let lost = 0; lost < MOST_LOST_PLACES; lost += 1) {
      const choice = this.#chooser.choose(serving, wanted, startedAtMs, this.#turn);
      if (typeof choice === "string") return this.#orReturning(choice, wanted);
      const { slot } = choice.node;
      if (this.#elsewhere.begin(slot, this.#options.maxInFlightPerNode)) {
        return this.#lease(choice, wanted, startedAtMs);
      }
    }
    return "full";
  }

  #lease(choice: Choice, wanted: Wanted, startedAtMs: number): Lease {
    const { node, trial, lastResort, comparison = null } = choice;
    const insteadOf = choice.insteadOf ?? wanted.insteadOf ?? null;
    const { asked, tried: request } = wanted;
    const lease = new Lease(
      node,
      { asked, request, startedAtMs, trial, lastResort, comparison, insteadOf },
      this.#leases,
    );
    comparison?.begin(lease, insteadOf === null ? "node" : "peer");
    node.conduct.askedAtMs = startedAtMs;
    node.leases.add(lease);
    if (asked.promptBytes >= (node.longest?.asked.promptBytes ?? 0)) this.#longestIs(node, lease);
    node.cache.started();
    this.#turn += 1;
    node.lastTurn = this.#turn;
    if (trial) node.health.trialStarted(lease);
    this.#listeners.leaseStarted(lease);
    return lease;
  }

  #longestIs(node: Node, longest: OpenRequest | null): void {
    node.longest = longest;
    this.#elsewhere.waits(node.slot, longest?.asked.promptBytes ?? 0);
  }

  /** What `acquire` would choose, without reserving it. */
  pick(wanted: Wanted): Choice | NoNode {
    const serving = this.serving(wanted.model, wanted.role);
    const choice = this.#chooser.choose(serving, wanted, this.#options.now(), this.#turn);
    return typeof choice === "string" ? this.#orReturning(choice, wanted) : choice;
  }

  /** Whoever serves what is wanted may be the one that is about to be there, and say so then. */
  #orReturning(none: NoNode, { role }: Wanted): NoNode {
    if (none !== "unknown_model" || role === "Hybrid") return none;
    const nodes = this.serving(null, role);
    const isAwaited = nodes.some((node) => node.health.comesBack && !node.saysModels);
    return isAwaited ? "returning" : none;
  }

  readonly #leases: LeaseListener = {
    answering: (lease, status) => this.learning.answering(lease, status),
    firstByte: (lease, nowMs) => {
      if (lease.node.longest === lease) this.#longestIs(lease.node, findLongest(lease.node));
      this.learning.firstByte(lease, nowMs);
      this.#listeners.firstByte(lease);
    },
    ended: (lease, outcome) => {
      const { node } = lease;
      const nowMs = this.#options.now();
      lease.endedAtMs = nowMs;
      node.leases.delete(lease);
      if (node.longest === lease) this.#longestIs(node, findLongest(node));
      this.#elsewhere.end(node.slot);
      node.cache.ended(lease.startedAtMs, nowMs);
      this.learning.ended(lease, outcome, nowMs);
      if (node.inFlight === 0) this.membership.idle(node);
      this.#listeners.leaseEnded(lease, outcome);
    },
  };

  /** The nodes of a role that serve a model (any, for null), whatever their state. */
  serving(model: string | null, role: Role): readonly Node[] {
    return this.membership.index.serving(model, role);
  }

  /** Whether any registered node serves `model`. */
  serves(model: string): boolean {
    return this.membership.index.serves(model);
  }

  /** Every model that a registered node serves, each once. */
  models(): string[] {
    return this.membership.index.models();
  }
}

/** The prompt that was the longest is computed, or will not be. */
function findLongest(node: Node): OpenRequest | null {
  return node.leases.best(bytesAwaited, -1);
}

/** How long its prompt is, bytes; less than 0 when that is computed. */
function bytesAwaited({ firstByteAtMs, asked }: OpenRequest): number {
  return firstByteAtMs === null ? asked.promptBytes : -1;
}
