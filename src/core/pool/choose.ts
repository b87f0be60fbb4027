import type { Role } from "../engine/roles.ts";
import type { Strategy } from "../strategies/strategy.ts";
import { DEFAULT_CACHE_SHARE } from "./cache-usage.ts";
import type { Node } from "./node.ts";

/** Why no node could be had. */
export type NoNode = "unknown_model" | "starting" | "full" | "unavailable";

/** What a request needs of a node. */
export interface Wanted {
  /** Null: any model will do. */
  readonly model: string | null;
  readonly role: Role;
  /** Nodes it has tried already; a request that has tried some gets only nodes known to be good. */
  readonly tried: ReadonlySet<Node>;
  /** Only these come into question; left out: all. */
  readonly among?: (node: Node) => boolean;
}

export interface ChooserOptions {
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly strategy: (role: Role) => Strategy;
  /** A load sample this old no longer counts, ms. */
  readonly sampleMaxAgeMs: number;
  /** Requests a node may have in flight; Infinity for no limit. */
  readonly maxInFlightPerNode: number;
}

export interface Choice {
  readonly node: Node;
  /** It was ejected for its answers: this request decides whether it returns. */
  readonly trial: boolean;
  /** No node was routable. */
  readonly lastResort: boolean;
}

/** Nodes whose warmth differs by no more than this, 2 s, have started together, and share equally. */
const TOGETHER = 0.2;

/** Finds the nodes a request may go to now, and lets the strategy choose among them. */
export class Chooser {
  readonly #options: ChooserOptions;
  readonly #candidates: Node[] = [];

  constructor(options: ChooserOptions) {
    this.#options = options;
  }

  /** @param serving The nodes that serve what is wanted, whatever their state. */
  choose(serving: readonly Node[], wanted: Wanted, nowMs: number): Choice | NoNode {
    if (serving.length === 0) return "unknown_model";
    const { role, tried, among } = wanted;
    const first = tried.size === 0;
    const candidates = this.#candidates;
    candidates.length = 0;
    let full = false;
    let elsewhere = false;
    for (const node of serving) {
      if (tried.has(node)) continue;
      const due = first && node.health.trialDue(nowMs);
      if (!due && !node.health.routable(nowMs)) continue;
      if (among?.(node) === false) elsewhere ||= !due;
      else if (this.#isFull(node)) full ||= !due;
      else if (due) return { node, trial: true, lastResort: false };
      else candidates.push(node);
    }
    if (candidates.length > 0) return this.#best(role, nowMs, false);
    if (full) return "full";
    return first && !elsewhere ? this.#lastResort(serving, wanted, nowMs) : "unavailable";
  }

  /** Every node is ejected or passed over: rather than refuse everything, try them. */
  #lastResort(serving: readonly Node[], wanted: Wanted, nowMs: number): Choice | NoNode {
    let none: NoNode = "unavailable";
    for (const node of serving) {
      if (wanted.among?.(node) === false) continue;
      if (node.health.state === "starting" && none === "unavailable") none = "starting";
      if (!node.health.lastResort) continue;
      if (this.#isFull(node)) none = "full";
      else this.#candidates.push(node);
    }
    return this.#candidates.length > 0 ? this.#best(wanted.role, nowMs, true) : none;
  }

  #isFull(node: Node): boolean {
    return node.inFlight >= this.#options.maxInFlightPerNode;
  }

  #best(role: Role, nowMs: number, lastResort: boolean): Choice {
    const { sampleMaxAgeMs, strategy, random } = this.#options;
    const candidates = this.#candidates;
    let inFlight = 0;
    let warmest = 0;
    let shares = 0;
    let learned = 0;
    for (const node of candidates) {
      inFlight += node.inFlight;
      warmest = Math.max(warmest, node.health.warm(nowMs));
      if (!node.cache.hasLearned) continue;
      shares += node.cache.share;
      learned += 1;
    }
    // One for all: what single nodes have measured differs by chance, or is still a guess, and would
    // weigh more than what they hold.
    const share = learned > 0 ? shares / learned : DEFAULT_CACHE_SHARE;
    for (const node of candidates) {
      const othersIdle = inFlight === node.inFlight;
      const isLate = warmest - node.health.warm(nowMs) > TOGETHER;
      node.observe(nowMs, sampleMaxAgeMs, othersIdle || !isLate, share);
    }
    const [only] = candidates;
    const node =
      only !== undefined && candidates.length === 1 ? only : strategy(role)(candidates, random);
    return { node, trial: false, lastResort };
  }
}
