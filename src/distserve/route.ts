import { noNode } from "../core/admission/refusals.ts";
import type { Role } from "../core/engine/roles.ts";
import type { ProxyError } from "../core/errors.ts";
import type { NoNode, Wanted } from "../core/pool/choose.ts";
import { Lease } from "../core/pool/lease.ts";
import type { Node } from "../core/pool/node.ts";
import { isRefusal } from "../core/pool/statuses.ts";
import type { Signal } from "../core/signal.ts";
import type { InferenceRequest } from "../upstream/request.ts";
import { DROPPED } from "./pair.ts";
import { cannotConnect, cannotHandOver, type FailedPair, type PlannedPair } from "./refusals.ts";
import type { RouteOptions } from "./route-options.ts";
import { type Endpoint, endpointOf } from "./session-names.ts";
import type { Session } from "./sessions.ts";
import { unlessAborted } from "./unless-aborted.ts";
import { hasFailed, isWorthWaiting, Patience, untilChanged, untilHeard } from "./until-changed.ts";
import { type WantedOfRole, type Wants, wantsOf } from "./wants.ts";

/**
 * One request's way: which nodes it may still use, and which pair it takes next. Nodes are chosen by
 * their strategies, each among its role; pairs that are known to fail, and after them those that
 * failed this request, come last.
 */
export class Route {
  readonly triedPrefill = new Set<Node>();
  readonly triedDecode = new Set<Node>();
  /** Only engines known to name their sessions come into question: another one has just kept its blocks. */
  namedOnly = false;
  /** The one pair that it begins once more over, made anew for it; null: any. */
  only: readonly Node[] | null = null;
  /** For the queue: a request waits as one for its prefill. */
  readonly wanted: Wanted;
  readonly #options: RouteOptions;
  readonly #client: string;
  readonly #signal: Signal;
  readonly #endpoint: Endpoint;
  readonly #wants: Wants;
  readonly #failed: FailedPair[] = [];
  #planned: PlannedPair | null = null;
  #lostOne = false;
  readonly #patience = new Patience();
  /** End all waits: when the client leaves, and when the proxy shuts down. */
  readonly #signals: readonly Signal[];

  /** @param signal Ends its waits, as when the client leaves. */
  constructor(request: InferenceRequest, signal: Signal, options: RouteOptions) {
    this.#options = options;
    this.#client = request.asked.client;
    this.#signal = signal;
    this.#signals = [signal, options.closing];
    this.#endpoint = endpointOf(request.target);
    this.#wants = wantsOf(request, this.triedPrefill, this.triedDecode);
    this.wanted = { ...this.#wants.Prefill, explainer: request.exchange.explainer };
  }

  /**
   * Chooses the best pair. If it is connected, reserves its prefill node in the same step; else
   * returns null: it has to be connected first, by `prefill`.
   */
  readonly take = (): Lease | null | NoNode => {
    this.#planned = null;
    if (this.#noneIsNamed()) return null;
    const plan = this.#plan();
    if (typeof plan === "string") return plan;
    const { registry, pairs, room } = this.#options;
    const { prefill, decode, insteadOf } = plan;
    if (pairs.isConnected(prefill, decode)) {
      const among = (node: Node) => node === prefill;
      const lease = registry.acquire({ ...this.wantedOf("Prefill"), among, insteadOf });
      if (lease instanceof Lease) room.coming(this);
      return lease;
    }
    room.coming(this);
    this.#planned = plan;
    return null;
  };

  /**
   * The prefill node that `take` chose, once its pair is connected; where that fails, another.
   * @param isRefused It was refused, and gets that: no pair is waited for longer than one try to connect it.
   * @throws ProxyError when no pair can be connected, or no engine is of use; what `admission.proceed` throws
   */
  async prefill(taken: Lease | null | NoNode, isRefused: boolean): Promise<Lease> {
    let next = taken;
    while (!(next instanceof Lease)) {
      if (isWorthWaiting(next)) {
        next = await this.#waitFor(this.wanted, this.take);
      } else if (next !== null) {
        if (isRefused) throw this.refusal;
        next = await this.#untilConnected();
      } else {
        if (this.#noneIsNamed()) throw cannotHandOver(this.wanted, this.#endpoint);
        if (this.#planned !== null) await this.#connect(this.#planned);
        // Connecting took its time: chosen anew, among what is connected now.
        next = this.take();
      }
    }
    return next;
  }

  /** Whether pairs that failed this request may yet be connected. */
  get mayWait(): boolean {
    return this.#lostOne || this.#failed.length > 0;
  }

  /** Whether it may go on waiting for engines to come back. */
  get hasTime(): boolean {
    return this.#patience.leftMs(this.#options) > 0;
  }

  /** The request was lost on `node`, the only one of its role: waits for a word of it; see `untilHeard`. */
  heard(node: Node): Promise<boolean | null> {
    const waits = { isOnly: this.isOnly, limitMs: this.#patience.leftMs(this.#options) };
    return untilHeard(node, { ...waits, signals: this.#signals, ...this.#options });
  }

  /** No node is left, and it begins once more: those that it tried may be had again. */
  again(): Lease | null | NoNode {
    this.#lostOne = true;
    this.triedPrefill.clear();
    this.triedDecode.clear();
    const { only } = this;
    this.only = null;
    for (const node of only === null ? [] : this.#options.registry.nodes()) {
      if (only?.includes(node)) continue;
      this.triedPrefill.add(node);
      this.triedDecode.add(node);
    }
    return this.take();
  }

  /**
   * Reserves a decode node for a session's blocks: among those connected with its node, else after
   * connecting another. A string when there is none, or when the blocks are lost meanwhile.
   */
  async decode(session: Session): Promise<Lease | NoNode> {
    const prefill = session.node;
    const take = () => this.#takeDecode(prefill);
    for (;;) {
      if (session.isLost) return "unavailable";
      let next = take();
      if (isWorthWaiting(next)) next = await this.#waitFor(this.wantedOf("Decode"), take);
      if (typeof next === "string") return next;
      if (next instanceof Lease) {
        this.#options.room.arrived(this);
        return next;
      }
      await this.#connect({ prefill, decode: next });
    }
  }

  /** A lease of a decode node connected with `prefill`, else the one to connect it with. */
  #takeDecode(prefill: Node): Lease | Node | NoNode {
    const { registry, pairs } = this.#options;
    const wanted = { ...this.wanted, ...this.wantedOf("Decode") };
    const isConnected = (node: Node) => pairs.isConnected(prefill, node);
    const isGood = (node: Node) => isConnected(node) && !pairs.isBad(prefill, node);
    let lease = registry.acquire({ ...wanted, among: isGood });
    if (lease !== "full" && !(lease instanceof Lease)) {
      lease = registry.acquire({ ...wanted, among: isConnected });
    }
    if (lease instanceof Lease) return lease;
    const other = this.#pickDecode((node) => !isConnected(node) && !this.#hasFailed(prefill, node));
    return typeof other === "string" && isWorthWaiting(lease) ? lease : other;
  }

  /** What it is told when there is no pair for it. */
  get refusal(): ProxyError {
    return this.#failed.length === 0 ? noNode(this.wanted) : cannotConnect(this.#failed);
  }

  /** What it wants of a node of the role, whichever it is paired with. */
  wantedOf(role: Role): WantedOfRole {
    return role === "Decode" ? this.#wants.Decode : this.#wants.Prefill;
  }

  /** Whether there is another node of the role than those of `tried`, which are those that it has tried. */
  readonly hasAnother = (role: Role, tried = this.wantedOf(role).tried) =>
    this.#options.registry.hasAnother({ ...this.wantedOf(role), tried });

  /** Whether what a node of either role refuses, or answers with nothing, should be tried on a peer. */
  readonly mayAskPeer = (status: number, lease: Lease) =>
    isRefusal(status) &&
    this.#options.registry.mayAskPeer(lease, status, this.wantedOf(lease.node.role));

  /** Whether there is no other of its role, tried or not. */
  readonly isOnly = (node: Node) => !this.hasAnother(node.role, new Set([node]));

  /** It needs no node any more. */
  readonly end = () => this.#options.room.arrived(this);

  #plan(): PlannedPair | NoNode {
    const isLeft = (prefill: Node, decode: Node) =>
      this.#isOfUse(prefill) && !this.#hasFailed(prefill, decode);
    const isGood = (prefill: Node, decode: Node) =>
      isLeft(prefill, decode) && !this.#options.pairs.isBad(prefill, decode);
    const good = this.#planAmong(isGood);
    return good === "full" || typeof good !== "string" ? good : this.#planAmong(isLeft);
  }

  /** The best prefill node that has a decode node, and the best of those. */
  #planAmong(isUsable: (prefill: Node, decode: Node) => boolean): PlannedPair | NoNode {
    const { registry, room, now } = this.#options;
    const decodes = registry.serving(this.wanted.model, "Decode");
    const alone = new Set<Node>();
    let none: NoNode | null = null;
    for (;;) {
      const choice = registry.pick({
        ...this.wanted,
        ...this.wantedOf("Prefill"),
        among: (node) => !alone.has(node) && decodes.some((decode) => isUsable(node, decode)),
      });
      if (typeof choice === "string") return none ?? choice;
      const { node: prefill, insteadOf } = choice;
      const decode = this.#pickDecode((node) => isUsable(prefill, node));
      if (typeof decode !== "string") {
        return room.hasRoomFor(this, decodes, now()) ? { prefill, decode, insteadOf } : "full";
      }
      if (!isWorthWaiting(none)) none = decode;
      alone.add(prefill);
    }
  }

  /** Whether the prefill engine tells, or may yet tell, what it keeps. */
  #isOfUse(prefill: Node): boolean {
    const isNamed = this.#options.names.of(prefill, this.#endpoint);
    return this.namedOnly ? isNamed === true : isNamed !== false;
  }

  /** Whether every prefill engine is known to keep blocks that nobody can free. */
  #noneIsNamed(): boolean {
    const { registry, names } = this.#options;
    let some = false;
    for (const node of registry.serving(this.wanted.model, "Prefill")) {
      if (node.health.state === "draining") continue;
      if (names.of(node, this.#endpoint) !== false) return false;
      some = true;
    }
    return some;
  }

  #pickDecode(among: (node: Node) => boolean): Node | NoNode {
    const picked = this.#options.registry.pick({ ...this.wantedOf("Decode"), among });
    return typeof picked === "string" ? picked : picked.node;
  }

  readonly #hasFailed = (prefill: Node, decode: Node) => hasFailed(this.#failed, prefill, decode);

  /** One try; a pair that fails it, and was not dropped meanwhile, is of no more use while there is another. */
  async #connect(pair: PlannedPair): Promise<void> {
    const { prefill, decode } = pair;
    const connecting = this.#options.pairs.connect(prefill, decode);
    const failure = await unlessAborted(connecting, this.#signals);
    if (failure !== null && failure !== DROPPED) this.#failed.push({ ...pair, failure });
  }

  /** What `take` gives as soon as that is not to be waited for. */
  async #waitFor<T extends Node | null>(
    wanted: Wanted,
    take: () => Lease | T | NoNode,
  ): Promise<Lease | T | NoNode> {
    const { admission } = this.#options;
    let other: T | NoNode = "unavailable";
    const { lease } = await admission.proceed(wanted, this.#client, this.#signal, () => {
      const next = take();
      if (next instanceof Lease || isWorthWaiting(next)) return next;
      other = next;
      return null;
    });
    return lease ?? other;
  }

  /**
   * No pair is left but those that have failed this request, or whose engine it was lost with: waits for
   * the first that can be connected after all, and takes what there is then.
   * @throws ProxyError when there is nothing within the time for it
   */
  async #untilConnected(): Promise<Lease | null | NoNode> {
    for (;;) {
      const failed = this.#failed.splice(0);
      const limitMs = this.#patience.leftMs(this.#options);
      const awaited = { failed, lostOne: this.#lostOne, limitMs, signals: this.#signals };
      const hasChanged = await untilChanged({ ...awaited, ...this.#options });
      if (!hasChanged) this.#failed.push(...failed);
      const next = this.take();
      if (isWorthWaiting(next) || typeof next !== "string") return next;
      if (!hasChanged || limitMs <= 0) throw this.refusal;
    }
  }
}
