import type { Explained, Explainer } from "../choice.ts";
import type { Role } from "../engine/roles.ts";
import { strategyName } from "../strategies/index.ts";
import type { Asked, Strategy } from "../strategies/strategy.ts";
import { Candidates, type Knowledge } from "./candidates.ts";
import type { Comparison } from "./lengths.ts";
import type { Node } from "./node.ts";
import { Ranking } from "./ranking.ts";

/**
 * Why no node could be had. `starting`: one has not come up yet. `returning`: one is known to be about to be
 * there.
 */
export type NoNode = "unknown_model" | "starting" | "returning" | "full" | "unavailable";

/** What a request needs of a node. */
export interface Wanted {
  /** Null: any model will do. */
  readonly model: string | null;
  /** What its client calls that; left out: the same. */
  readonly called?: string | null | undefined;
  readonly role: Role;
  readonly asked: Asked;
  /** Nodes it has tried already; a request that has tried some gets only nodes known, or else believed, to be good. */
  readonly tried: ReadonlySet<Node>;
  /** Told why the one was chosen; left out: nobody wants to know. */
  readonly explainer?: Explainer | null;
  /** Only these come into question; left out: all. */
  readonly among?: (node: Node) => boolean;
  /** It goes there or nowhere; left out: anywhere. */
  readonly only?: Node | null;
  /** It was answered elsewhere, if badly: it has something to lose on a node that may give no answer at all. */
  readonly hasAnswer?: boolean;
  /** What `pick` has said of this, where that was asked before. */
  readonly insteadOf?: Node | undefined;
}

export interface ChooserOptions {
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly strategy: (role: Role) => Strategy;
  /** What the strategies in force need to be learned; left out: nothing. */
  readonly knowledge?: readonly Knowledge[];
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
  /** What its answer counts in, on the node in question or on a peer; null or left out: nothing. */
  readonly comparison?: Comparison | null;
  /** The node that the strategy wanted, which is in question; left out: that is where it goes. */
  readonly insteadOf?: Node | undefined;
}

/** Finds the nodes a request may go to now, and lets the strategy choose among them. */
export class Chooser {
  readonly #options: ChooserOptions;
  readonly #candidates: Candidates;
  readonly #ranking = new Ranking();

  constructor(options: ChooserOptions) {
    this.#options = options;
    this.#candidates = new Candidates(options.sampleMaxAgeMs);
  }

  /**
   * @param serving The nodes that serve what is wanted, whatever their state.
   * @param turn How many requests nodes have had, in all.
   */
  choose(serving: readonly Node[], wanted: Wanted, nowMs: number, turn: number): Choice | NoNode {
    if (serving.length === 0) return "unknown_model";
    const { tried, only = null } = wanted;
    const isLookup = wanted.asked.kept === "lookup";
    const first = tried.size === 0;
    const isAny = only === null && wanted.among === undefined;
    const candidates = this.#candidates;
    candidates.clear(nowMs);
    let full = false;
    let elsewhere = false;
    let resting = false;
    let paroled: Node | null = null;
    for (const node of serving) {
      if (!first && tried.has(node)) continue;
      const { health } = node;
      const isRoutable = health.routable(nowMs, isLookup);
      const othersHad = isRoutable ? 0 : (turn - node.lastTurn) / serving.length;
      if (!isRoutable && !(first && health.trialDue(nowMs, othersHad))) {
        if (!mayBeHad(node, wanted, nowMs) || !isWanted(node, wanted)) continue;
        if (health.doubt === null) resting = true;
        else if (!this.#isFull(node)) paroled = node;
      } else if (!isAny && !isWanted(node, wanted)) elsewhere ||= isRoutable;
      else if (this.#isFull(node)) full ||= isRoutable;
      else if (!isRoutable) return this.#onTrial(node, wanted, nowMs);
      else candidates.add(node);
    }
    if (candidates.size > 0) return this.#best(wanted, nowMs, false);
    // Believed to be well: where there is no better one, a request that has failed elsewhere may decide about it. Lost
    // there, it gets an error if it does not, and its client's next try would be the one to decide.
    if (paroled !== null) return this.#onTrial(paroled, wanted, nowMs);
    if (full) return "full";
    if (first && !elsewhere) return this.#lastResort(serving, wanted, nowMs);
    // Passed over for a moment, on its own word: it is full, and will have a place.
    return resting ? "full" : "unavailable";
  }

  /** Every node is ejected or passed over: rather than refuse everything, try them. */
  #lastResort(serving: readonly Node[], wanted: Wanted, nowMs: number): Choice | NoNode {
    let none: NoNode = "unavailable";
    for (const node of serving) {
      if (!isWanted(node, wanted)) continue;
      if (none !== "full" && none !== "returning") none = absent(node) ?? none;
      if (!node.health.lastResort) continue;
      if (this.#isFull(node)) none = "full";
      else this.#candidates.add(node);
    }
    return this.#candidates.size > 0 ? this.#best(wanted, nowMs, true) : none;
  }

  #isFull(node: Node): boolean {
    const { maxInFlightPerNode } = this.#options;
    return maxInFlightPerNode !== Number.POSITIVE_INFINITY && node.inFlight >= maxInFlightPerNode;
  }

  #best(wanted: Wanted, nowMs: number, lastResort: boolean): Choice {
    const candidates = this.#candidates;
    const { only } = candidates;
    if (only !== null) {
      wanted.explainer?.chosen(alone(only, "only", lastResort, nowMs));
      return { node: only, trial: false, lastResort };
    }
    const node = this.#byStrategy(wanted, nowMs, lastResort, "strategy");
    if (lastResort || wanted.tried.size > 0) return { node, trial: false, lastResort };
    const { comparison } = node.conduct.lengths;
    const lot = comparison?.draw(this.#options.random) ?? null;
    if (lot === "node") return { node, trial: false, lastResort, comparison };
    const peers = this.#peersToCompare(node, lot === null, nowMs);
    if (peers.length === 0) return { node, trial: false, lastResort };
    candidates.keep(peers);
    return {
      node: this.#byStrategy(wanted, nowMs, lastResort, "comparison"),
      trial: false,
      lastResort,
      comparison: lot === "peer" ? comparison : null,
      insteadOf: node,
    };
  }

  /** Where a request goes that is not to go to `node`. @param refuses Whether that is only so since a peer has what it refused. */
  #peersToCompare(node: Node, refuses: boolean, nowMs: number): Node[] {
    if (refuses && !node.conduct.refusals.isInQuestion(nowMs)) return [];
    const peers = this.#candidates.seen().map((one) => one.node);
    return peers.filter(
      (one) => one !== node && !(refuses && one.conduct.refusals.isSuspect(nowMs)),
    );
  }

  #byStrategy(
    { role, asked, explainer = null }: Wanted,
    nowMs: number,
    lastResort: boolean,
    why: "strategy" | "comparison",
  ): Node {
    const { knowledge, random } = this.#options;
    const seen = this.#candidates.seen();
    if (knowledge !== undefined) for (const one of knowledge) one.fill(seen, asked, nowMs);
    const strategy = this.#options.strategy(role);
    if (explainer === null) return strategy(asked, seen, random).node;
    const ranking = this.#ranking;
    ranking.clear();
    const chosen = strategy(asked, seen, random, ranking.note);
    explainer.chosen({
      why,
      strategy: strategyName(strategy),
      candidates: seen.length,
      lastResort,
      best: ranking.weighed(chosen, nowMs),
    });
    return chosen.node;
  }

  #onTrial(node: Node, { explainer }: Wanted, nowMs: number): Choice {
    explainer?.chosen(alone(node, "trial", false, nowMs));
    return { node, trial: true, lastResort: false };
  }
}

/** Whether a node that is not up yet is to be waited for. */
function absent({ health }: Node): "starting" | "returning" | null {
  if (health.comesBack) return "returning";
  return health.state === "starting" ? "starting" : null;
}

/**
 * Whether a request that has failed elsewhere could have the node, now or when that has a place. One on parole that
 * nobody decides about just now, unless it may be silent where the request has an answer to lose.
 */
export function mayBeHad(
  { health }: Node,
  { hasAnswer = false }: Pick<Wanted, "hasAnswer">,
  nowMs: number,
): boolean {
  const { state, doubt } = health;
  if (state !== "healthy" || doubt === null) return state === "healthy";
  return health.trialDue(nowMs) && !(hasAnswer && (doubt === "late" || doubt === "stalled"));
}

function isWanted(node: Node, { among, only = null }: Wanted): boolean {
  return (only === null || node === only) && among?.(node) !== false;
}

/** Of a node that no strategy was asked about. */
function alone(node: Node, why: "only" | "trial", lastResort: boolean, nowMs: number): Explained {
  const sampleAgeMs = node.cache.ageMs(nowMs);
  const best = [{ node: node.label, score: null, sampleAgeMs, seen: NOTHING }] as const;
  return { why, strategy: null, candidates: 1, lastResort, best };
}

const NOTHING = {};
