import type { Asked, Candidate } from "../strategies/strategy.ts";
import { DEFAULT_CACHE_SHARE } from "./cache-usage.ts";
import type { Node } from "./node.ts";
import type { RegistryListener } from "./registry-listener.ts";

/** A node as a strategy sees it, for one choice. */
export interface Seen extends Candidate {
  readonly node: Node;
}

type Learned =
  | "load"
  | "cachedBytes"
  | "queuedBytes"
  | "prefillBytesPerS"
  | "delayedPerS"
  | "home"
  | "sessions";

/** The same while what others know of it is added. */
export type Filled = Omit<Seen, Learned> & { -readonly [Field in Learned]: Seen[Field] };

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

/**
 * The view that a strategy has of the nodes it may choose among: records that are used again for every
 * choice. With hundreds of nodes a choice costs what is read of each, so that a record holds what all
 * strategies ask for, and finds out the rest when it is asked.
 */
export class Candidates {
  /** Made when first needed, then kept for the next choices. */
  readonly #records: NodeSeen[] = [];
  readonly #view: NodeSeen[] = [];
  readonly #choice: Circumstances;
  #inFlight = 0;
  #warmest = 0;
  #coldest = 1;

  /** @param sampleMaxAgeMs A load sample this old no longer counts, ms. */
  constructor(sampleMaxAgeMs: number) {
    this.#choice = new Circumstances(this.#view, sampleMaxAgeMs);
  }

  get size(): number {
    return this.#view.length;
  }

  /** The one there is; null when there is none, or a choice. */
  get only(): Node | null {
    return this.#view.length === 1 ? (this.#view[0]?.node ?? null) : null;
  }

  /** For a choice that is made at `nowMs`. */
  clear(nowMs: number): void {
    this.#view.length = 0;
    this.#choice.begin(nowMs);
    this.#inFlight = 0;
    this.#warmest = 0;
    this.#coldest = 1;
  }

  add(node: Node): void {
    const view = this.#view;
    const { nowMs } = this.#choice;
    let record = this.#records[view.length];
    if (record === undefined) {
      record = new NodeSeen(node, this.#choice);
      this.#records.push(record);
    }
    record.node = node;
    // With other processes it is a sum over them.
    const { inFlight } = node;
    record.inFlight = inFlight;
    record.load = inFlight + node.charges.at(nowMs);
    const warm = node.health.warm(nowMs);
    record.weight = warm;
    this.#inFlight += inFlight;
    if (warm > this.#warmest) this.#warmest = warm;
    if (warm < this.#coldest) this.#coldest = warm;
    view.push(record);
  }

  /** The others do not come into question after all. */
  keep(nodes: readonly Node[]): void {
    this.clear(this.#choice.nowMs);
    for (const node of nodes) this.add(node);
  }

  /** What is known of those that were added. The array and its records are good until the next choice. */
  seen(): readonly Filled[] {
    if (this.#coldest < 1) this.#weigh();
    return this.#view;
  }

  /** Brings in slowly who is not as warm as the others. */
  #weigh(): void {
    const view = this.#view;
    const warmest = this.#warmest;
    let late = 0;
    for (const { weight } of view) if (warmest - weight > TOGETHER) late += 1;
    const leastWeight = leastWeightOf(late, view.length);
    for (const record of view) {
      // Bringing it in slowly would help nobody when no other candidate has a request, or none has
      // been there for longer.
      const isLate = warmest - record.weight > TOGETHER && this.#inFlight !== record.inFlight;
      record.weight = isLate ? Math.max(record.weight, leastWeight) : 1;
    }
  }
}

/** What one choice is made in: the time, and what is known of all candidates together. */
class Circumstances {
  readonly #view: readonly Seen[];
  readonly sampleMaxAgeMs: number;
  nowMs = 0;
  #share: number | null = null;
  #heldMean: number | null = null;

  constructor(view: readonly Seen[], sampleMaxAgeMs: number) {
    this.#view = view;
    this.sampleMaxAgeMs = sampleMaxAgeMs;
  }

  begin(nowMs: number): void {
    this.nowMs = nowMs;
    this.#share = null;
    this.#heldMean = null;
  }

  /**
   * What one more request is expected to occupy, fraction of the KV cache. One for all: what single
   * nodes have measured differs by chance, or is still a guess, and would weigh more than what they hold.
   */
  get cacheShare(): number {
    this.#share ??= this.#meanShare();
    return this.#share;
  }

  #meanShare(): number {
    let shares = 0;
    let learned = 0;
    for (const { node } of this.#view) {
      if (!node.cache.hasLearned) continue;
      shares += node.cache.share;
      learned += 1;
    }
    return learned > 0 ? shares / learned : DEFAULT_CACHE_SHARE;
  }

  /** What a request that we hold is seen to occupy, fraction of the KV cache. */
  get heldMean(): number {
    this.#heldMean ??= this.#meanHeld();
    return this.#heldMean;
  }

  #meanHeld(): number {
    let usage = 0;
    let requests = 0;
    for (const { node } of this.#view) {
      usage += node.held.usage;
      requests += node.held.requests;
    }
    return requests > 0 ? usage / requests : this.cacheShare;
  }
}

/** What it finds out when it is asked is no field of its own: a copy that is spread out of it has it not. */
class NodeSeen implements Seen {
  node: Node;
  load = 0;
  weight = 1;
  cachedBytes = 0;
  queuedBytes = 0;
  prefillBytesPerS = 1;
  delayedPerS = 0;
  home = 0;
  sessions = 0;
  /** Its requests alone. */
  inFlight = 0;
  readonly #choice: Circumstances;

  constructor(node: Node, choice: Circumstances) {
    this.node = node;
    this.#choice = choice;
  }

  get speed(): number | null {
    return this.node.speed;
  }

  get id(): number {
    return this.node.id;
  }

  get lastTurn(): number {
    return this.node.lastTurn;
  }

  get meanLatencyMs(): number | null {
    return this.node.meanLatencyMs(this.#choice.nowMs);
  }

  get cacheUsage(): number | null {
    const { nowMs, sampleMaxAgeMs, cacheShare } = this.#choice;
    const { inFlight } = this;
    const usage = this.node.cache.expected(nowMs, sampleMaxAgeMs, cacheShare, inFlight);
    return usage === null ? null : usage + (this.load - inFlight) * cacheShare;
  }

  get cacheShare(): number {
    return this.#choice.cacheShare;
  }

  get usagePerRequest(): number {
    return this.node.held.perRequest(this.#choice.heldMean);
  }
}

/**
 * The least weight of each of `late` nodes among `all`, so that none of the others gets more than
 * twice its even share: when most come back together, few would have to carry everything.
 */
function leastWeightOf(late: number, all: number): number {
  return late === 0 ? LEAST_WEIGHT : Math.max((all / 2 - (all - late)) / late, LEAST_WEIGHT);
}
