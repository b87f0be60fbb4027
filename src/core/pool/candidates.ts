import type { Asked, Candidate } from "../strategies/strategy.ts";
import { DEFAULT_CACHE_SHARE } from "./cache-usage.ts";
import type { Node } from "./node.ts";
import type { RegistryListener } from "./registry-listener.ts";

/** A node as a strategy sees it, for one choice. */
export interface Seen extends Candidate {
  readonly node: Node;
}

/** The same while it is being filled. */
export type Filled = { -readonly [Field in keyof Seen]: Seen[Field] };

/** What others have learned of nodes, for strategies that ask for it. */
export interface Knowledge {
  /** Adds to every candidate what is known of its node with regard to this request. Changes nothing else. */
  fill(candidates: readonly Filled[], asked: Asked, nowMs: number): void;
  /** How it learns. */
  readonly listener: RegistryListener;
}

/** Nodes whose warmth differs by no more than this, 2 s, have started together, and share equally. */
const TOGETHER = 0.2;
/** A node that is being brought in never gets less than this share of its normal traffic. */
const LEAST_WEIGHT = 0.1;

/** The view that a strategy has of the nodes it may choose among: plain records, filled again for every choice. */
export class Candidates {
  /** Made when first needed, then kept for the next choices. */
  readonly #records: Filled[] = [];
  readonly #view: Filled[] = [];

  get size(): number {
    return this.#view.length;
  }

  /** The one there is; null when there is none, or a choice. */
  get only(): Node | null {
    return this.#view.length === 1 ? (this.#view[0]?.node ?? null) : null;
  }

  clear(): void {
    this.#view.length = 0;
  }

  add(node: Node): void {
    const view = this.#view;
    const record = this.#records[view.length];
    if (record === undefined) {
      const fresh = blank(node);
      this.#records.push(fresh);
      view.push(fresh);
    } else {
      record.node = node;
      view.push(record);
    }
  }

  /** It does not come into question after all. */
  remove(node: Node): void {
    const others = this.#view.map((record) => record.node).filter((other) => other !== node);
    this.clear();
    for (const other of others) this.add(other);
  }

  /**
   * What is known of those that were added. The array and its records are good until the next choice.
   * @param sampleMaxAgeMs A load sample this old no longer counts, ms.
   */
  seen(nowMs: number, sampleMaxAgeMs: number): readonly Filled[] {
    const view = this.#view;
    let inFlight = 0;
    let warmest = 0;
    let shares = 0;
    let learned = 0;
    let held = 0;
    let heldRequests = 0;
    for (const record of view) {
      const { node } = record;
      // With other processes it is a sum over them.
      record.load = node.inFlight;
      inFlight += record.load;
      record.weight = node.health.warm(nowMs);
      if (record.weight > warmest) warmest = record.weight;
      held += node.held.usage;
      heldRequests += node.held.requests;
      if (!node.cache.hasLearned) continue;
      shares += node.cache.share;
      learned += 1;
    }
    // One for all: what single nodes have measured differs by chance, or is still a guess, and would
    // weigh more than what they hold.
    const share = learned > 0 ? shares / learned : DEFAULT_CACHE_SHARE;
    let late = 0;
    for (const { weight } of view) if (warmest - weight > TOGETHER) late += 1;
    const leastWeight = leastWeightOf(late, view.length);
    const heldMean = heldRequests > 0 ? held / heldRequests : share;
    for (const record of view) {
      const { node } = record;
      const ours = record.load;
      const penalty = node.charges.at(nowMs);
      record.load = ours + penalty;
      record.speed = node.speed;
      record.id = node.id;
      record.lastTurn = node.lastTurn;
      record.meanLatencyMs = node.meanLatencyMs(nowMs);
      record.cacheShare = share;
      record.usagePerRequest = node.held.perRequest(heldMean);
      const usage = node.cache.expected(nowMs, sampleMaxAgeMs, share, ours);
      record.cacheUsage = usage === null ? null : usage + penalty * share;
      // Bringing it in slowly would help nobody when no other candidate has a request, or none has
      // been there for longer.
      const isLate = warmest - record.weight > TOGETHER && inFlight !== ours;
      record.weight = isLate ? Math.max(record.weight, leastWeight) : 1;
    }
    return view;
  }
}

/**
 * The least weight of each of `late` nodes among `all`, so that none of the others gets more than
 * twice its even share: when most come back together, few would have to carry everything.
 */
function leastWeightOf(late: number, all: number): number {
  return late === 0 ? LEAST_WEIGHT : Math.max((all / 2 - (all - late)) / late, LEAST_WEIGHT);
}

function blank(node: Node): Filled {
  return {
    node,
    load: 0,
    speed: null,
    meanLatencyMs: null,
    cacheUsage: null,
    cacheShare: 0,
    usagePerRequest: 0,
    weight: 1,
    id: node.id,
    lastTurn: 0,
    cachedBytes: 0,
    queuedBytes: 0,
    prefillBytesPerS: 1,
    delayedPerS: 0,
    home: 0,
    sessions: 0,
  };
}
