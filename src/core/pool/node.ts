import { Bag, type InBag } from "../bag.ts";
import type { EngineKind } from "../engine/kinds.ts";
import type { ModelCard } from "../engine/model-list.ts";
import type { Role } from "../engine/roles.ts";
import type { Asked } from "../strategies/strategy.ts";
import { CacheUsage } from "./cache-usage.ts";
import { Charges } from "./charges.ts";
import { Conduct } from "./conduct.ts";
import { type Elsewhere, NOBODY_ELSE } from "./elsewhere.ts";
import { NodeHealth } from "./health.ts";
import { HeldUsage } from "./held-usage.ts";
import { LatencyRing } from "./latency-ring.ts";

/** What an engine (or an operator) says of a node when it registers. */
export interface Registration {
  readonly models: readonly string[];
  readonly role: Role;
  /** Relative capability, above 0, or null when not given. */
  readonly speed: number | null;
  /** The URL it gave, where its address is another: `http://0.0.0.0:23333`. */
  readonly registeredAs?: string | null;
  /** What people call it (`core/address/node-name.ts`); null or left out: nothing said. */
  readonly name?: string | null;
}

/** Why the proxy itself takes a request off a node. */
export type EvictionReason = "node_ejected" | "shutdown";

/** Whoever sends a request, as much as the node's side needs to know. */
export interface Sender {
  /** Takes it off the node, unless it is better off waiting there. */
  evict(reason: EvictionReason): void;
  /** Its client reads too slowly: that nothing comes is not the engine's doing. */
  readonly clientHoldsUp?: boolean;
}

/** A request that is open on a node, as much as the node's side needs to know of its lease. */
export interface OpenRequest extends InBag {
  /** Monotonic time, ms. */
  readonly startedAtMs: number;
  /** When the answer's first byte arrived, ms, or null. */
  readonly firstByteAtMs: number | null;
  readonly lastResort: boolean;
  readonly trial: boolean;
  readonly asked: Asked;
  /** Pieces of the answer's body received. */
  readonly pieces: number;
  /** When the last of them came, ms; Infinity before the first. */
  readonly lastPieceAtMs: number;
  /** The longest time between two of them, and all pauses, those of a second or more, together, ms. */
  readonly longestGapMs: number;
  readonly pausedMs: number;
  /** The longest of the prompts that its first word may have to wait for, its own included, bytes. */
  readonly longestBytes: number;
  /** Where the same request was refused, or answered with nothing, just before; null: nowhere. */
  readonly refusedBy: { readonly node: Node; readonly trial: boolean } | null;
  /** Null as long as nobody sends it. */
  readonly sender: Sender | null;
}

/** Older latencies are no history: a node that was slow once would be avoided, and so never seen to be fast. */
const LATENCIES_COUNT_FOR_MS = 60_000;

/** What we know of one engine address. The pool creates nodes and is the only one to change them. */
export class Node {
  readonly url: string;
  /** A small number that no other node has; another's once this one has left and its requests have ended. */
  readonly slot: number;
  /** The same for the same address: a whole number from 0 to 2^32 - 1. */
  readonly id: number;
  readonly health = new NodeHealth();
  readonly latencies = new LatencyRing();
  readonly cache = new CacheUsage();
  readonly held = new HeldUsage();
  readonly leases = new Bag<OpenRequest>();
  readonly conduct = new Conduct();
  readonly charges = new Charges();

  role: Role;
  speed: number | null;
  /** Models it registered with. */
  registeredModels: readonly string[] = [];
  /** The URL its engine gave when it registered, where that is not the one it has here. */
  registeredAs: string | null = null;
  /** Models its `/v1/models` named last. */
  discoveredModels: readonly string[] = [];
  /** Everything it serves, each name once, registered ones first. */
  models: readonly string[] = [];
  /** What its `/v1/models` said of each model last. */
  cards: ReadonlyMap<string, ModelCard> = new Map();
  /** The models it serves but for adapters, in one string. */
  names = "";
  /** The same by what lies behind the names, so that aliases are one. */
  roots = "";
  /** Whether the engine there now has shown its `/v1/models`. */
  listed = false;
  /** Why that could not be read, for `/nodes/status`. */
  noList: string | null = null;
  /** The generation whose engine registered `registeredModels`; null when it was before the proxy started. */
  registeredIn: number | null = null;
  engine: EngineKind | null = null;
  /** Why it last failed, for `/nodes/status`. */
  lastError: string | null = null;
  /** Why its KV-cache usage is not known, for `/nodes/status`. */
  noUsage: string | null = null;
  /** Counts how often the engine behind the URL was found to be another process than before. */
  generation = 0;
  /** Nobody has answered since it registered or was found gone: who answers next belongs to this generation. */
  absent = true;
  /** When an answer last began over a connection that it may keep, ms. */
  answeredAtMs = Number.NEGATIVE_INFINITY;
  /** When it was last asked to abort requests, monotonic: what it had then ends as somebody wished. */
  abortedAtMs = Number.NEGATIVE_INFINITY;
  /** Of our requests that have no first word yet, the one with the longest prompt. */
  longest: OpenRequest | null = null;
  /** Counts pieces of answers received; moving means alive. */
  progress = 0;
  /** Which of all requests was the last one it got, counted; 0 when it has had none. */
  lastTurn = 0;

  #label: { readonly url: string; readonly name: string | null };
  #latencyAtMs = Number.NEGATIVE_INFINITY;
  readonly #elsewhere: Elsewhere;

  constructor(
    url: string,
    slot: number,
    registration: Registration,
    elsewhere: Elsewhere = NOBODY_ELSE,
  ) {
    this.url = url;
    this.#label = { url, name: null };
    this.id = addressId(url);
    this.slot = slot;
    this.#elsewhere = elsewhere;
    this.role = registration.role;
    this.speed = registration.speed;
    this.serve(registration.models, []);
  }

  /** What people call it; no other node is called so. */
  get name(): string | null {
    return this.#label.name;
  }

  set name(name: string | null) {
    this.#label = { url: this.url, name };
  }

  /** How it is called, for what outlives it. */
  get label(): { readonly url: string; readonly name: string | null } {
    return this.#label;
  }

  /** Open requests: the number of leases, never a counter of its own, and those of other processes. */
  get inFlight(): number {
    return this.leases.size + this.#elsewhere.inFlight(this.slot);
  }

  /** The same of pieces of answers, whoever received them. */
  get piecesOfAll(): number {
    return this.progress + this.#elsewhere.pieces(this.slot);
  }

  /** The longest prompt that others have there without a first word, bytes. */
  get othersLongestBytes(): number {
    return this.#elsewhere.longestBytes(this.slot);
  }

  /** It serves these models. */
  serve(registered: readonly string[], discovered: readonly string[]): void {
    this.registeredModels = registered;
    this.discoveredModels = discovered;
    const models = [...new Set([...registered, ...discovered])];
    // The same as long as nothing has changed: nobody has to compare thousands of names to see that.
    if (models.join("\n") !== this.models.join("\n")) this.models = models;
    const bases = this.models.filter((model) => !isAdapter(this.cards.get(model)));
    this.names = bases.toSorted().join("\n");
    const roots = bases.map((model) => rootOf(model, this.cards.get(model)));
    this.roots = [...new Set(roots)].sort().join("\n");
  }

  /** Whether the engine there now has said what it serves, in its list or by registering. */
  get saysModels(): boolean {
    const registered = this.registeredIn === this.generation && this.registeredModels.length > 0;
    return this.listed || registered;
  }

  /** Whether the names that were registered are those of the engine that has shown this list. */
  registeredBy(cards: ReadonlyMap<string, ModelCard>): boolean {
    if (this.registeredIn === this.generation || cards.size === 0) return true;
    return this.registeredModels.some((model) => cards.has(model));
  }

  /** Mean of the last latencies, ms, or null when there are none or they are old. */
  meanLatencyMs(nowMs: number): number | null {
    return this.#hasRecentLatencies(nowMs) ? this.latencies.meanMs : null;
  }

  /** A request was answered well and completely. */
  answered(latencyMs: number, nowMs: number): void {
    this.answeredAnyone(latencyMs, nowMs);
    this.charges.answeredWell();
    this.#elsewhere.answered(this.slot, latencyMs);
  }

  /** The same of a request that this process or another one had there. */
  answeredAnyone(latencyMs: number, nowMs: number): void {
    if (!this.#hasRecentLatencies(nowMs)) this.latencies.clear();
    this.latencies.add(latencyMs);
    this.#latencyAtMs = nowMs;
  }

  #hasRecentLatencies(nowMs: number): boolean {
    return nowMs - this.#latencyAtMs < LATENCIES_COUNT_FOR_MS;
  }

  /** The engine was restarted: its history and load are another process's. */
  restarted(): void {
    this.generation += 1;
    this.absent = true;
    this.listed = false;
    this.noList = null;
    this.charges.clear();
    this.cache.forget();
    this.held.forget();
    this.conduct.forget();
    this.health.replaced();
  }
}

/** A node in a line of the log, its name where it has one. */
export function loggedNode({ url, name }: Pick<Node, "url" | "name">) {
  return name === null ? { node: url } : { node: url, node_name: name };
}

function isAdapter(card: ModelCard | undefined): boolean {
  return typeof card?.parent === "string";
}

/** What lies behind the name of a model; not all engines say it. */
function rootOf(model: string, card: ModelCard | undefined): string {
  return typeof card?.root === "string" ? card.root : model;
}

/** FNV-1a of 32 bits (RFC draft-eastlake-fnv), once for every node. */
function addressId(url: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < url.length; i += 1) hash = Math.imul(hash ^ url.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
