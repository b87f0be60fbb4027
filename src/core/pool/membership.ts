import type { ModelCard } from "../engine/model-list.ts";
import { type Elsewhere, NOBODY_ELSE } from "./elsewhere.ts";
import { ModelIndex } from "./model-index.ts";
import { type NamedNode, Naming, type SourceId } from "./naming.ts";
import { Node, type Registration } from "./node.ts";
import type { Listeners } from "./registry-listener.ts";

/**
 * Which nodes there are, and on whose word. A node exists as long as one source names it and nobody
 * removed it by hand; what it is, the source of the highest rank says.
 */
export class Membership {
  readonly #listeners: Listeners;
  readonly #elsewhere: Elsewhere;
  readonly #nodes = new Map<string, Node>();
  /** Removed nodes whose last requests still run: registering again must find their counters. */
  readonly #leaving = new Map<string, Node>();
  readonly #naming = new Naming();
  /** Removed by hand although a source names them; each ends when that source says it anew, or no more. */
  readonly #removed = new Set<string>();
  /** An operator wants them to get nothing new; each ends by hand, when the node registers, or is a member no more. */
  readonly #drained = new Set<string>();
  readonly #slots: (Node | null)[] = [];
  readonly index = new ModelIndex();

  constructor(listeners: Listeners, elsewhere: Elsewhere = NOBODY_ELSE) {
    this.#listeners = listeners;
    this.#elsewhere = elsewhere;
  }

  get(url: string): Node | undefined {
    return this.#nodes.get(url);
  }

  /** The node that people call so. */
  byName(name: string): Node | undefined {
    return this.#nodes.values().find((node) => node.name === name);
  }

  /** The name that a node registered with, null for none: no source says that one again. */
  registeredName(url: string): string | null {
    return this.#naming.registered.get(url)?.name ?? null;
  }

  /** All nodes, in the order they joined. */
  nodes(): Node[] {
    return [...this.#nodes.values()];
  }

  /** Every node that still has something to do with us: a member, or removed with requests in flight. */
  nodesInUse(): Node[] {
    return [...this.#nodes.values(), ...this.#leaving.values()];
  }

  /** What nobody would say again after a restart: nodes that registered themselves, or that an operator drains. */
  toKeep(): Node[] {
    return this.nodes().filter(
      ({ url }) => this.#naming.registered.has(url) || this.#drained.has(url),
    );
  }

  /** Removed by hand although a source names them. */
  removedByHand(): readonly string[] {
    return [...this.#removed];
  }

  /** A source says which nodes there are: the whole set. The listeners are told of it once. */
  says(source: SourceId, nodes: readonly NamedNode[]): void {
    const now = new Map(nodes.map((node) => [node.url, node]));
    const before = this.#naming.says(source, now);
    const toProbe: Node[] = [];
    let changed = false;
    for (const url of new Set([...before.keys(), ...now.keys()])) {
      const isNews = now.has(url) !== before.has(url);
      if (isNews && (now.has(url) || this.#naming.of(url) === null)) this.#removed.delete(url);
      changed = this.#settle(url, toProbe) || changed;
    }
    if (changed) this.#changed();
    for (const node of toProbe) this.#listeners.probeWanted(node);
  }

  /** An engine or an operator names a node, new or known: whatever ran there before runs no more. */
  register(url: string, registration: Registration): Node {
    const { models, role, speed } = registration;
    // Engines say no name when they register anew, and keep the one that somebody gave them.
    const name = registration.name ?? this.registeredName(url);
    this.#removed.delete(url);
    this.#drained.delete(url);
    this.#naming.registered.set(url, { url, models, role, speed, name, enabled: true });
    const known = this.#nodes.get(url);
    if (known !== undefined) this.#renew(known, registration);
    const node = known ?? this.#join(url, registration);
    node.registeredIn = node.generation;
    node.registeredAs = registration.registeredAs ?? null;
    this.#changed();
    this.#listeners.probeWanted(node);
    return node;
  }

  /** A node as it was when the proxy ran last: another engine may be there now. */
  restore(url: string, registration: Registration, discovered: readonly string[]): Node {
    const node = this.register(url, registration);
    node.registeredIn = null;
    this.discovered(node, discovered);
    return node;
  }

  /**
   * Takes a node out by hand; its running requests finish. It stays out, whoever names it, until
   * somebody names it anew. Returns it, or undefined when unknown.
   */
  remove(url: string): Node | undefined {
    this.#naming.registered.delete(url);
    const node = this.#nodes.get(url);
    if (node === undefined) return undefined;
    if (this.#naming.of(url) !== null) this.#removed.add(url);
    this.#takeOut(node);
    this.#changed();
    return node;
  }

  /** No new requests for the node until it registers again, or this is undone. Returns it, or undefined when unknown. */
  drain(url: string): Node | undefined {
    const node = this.#nodes.get(url);
    if (node === undefined) return undefined;
    this.#drained.add(url);
    this.#drain(node);
    return node;
  }

  #drain(node: Node): void {
    const from = node.health.state;
    node.health.drain();
    this.#listeners.changed(node, from);
  }

  #registered(node: Node): void {
    const from = node.health.state;
    node.health.registered();
    this.#listeners.changed(node, from);
  }

  /** Undoes `drain`: the node gets requests again once a probe says that it is well. Returns it, or undefined when unknown. */
  undrain(url: string): Node | undefined {
    const node = this.#nodes.get(url);
    if (node === undefined || !this.#drained.delete(url)) return node;
    // Its source may want it to get nothing new, too.
    if (this.#naming.of(url)?.enabled !== true) return node;
    this.#registered(node);
    this.#listeners.probeWanted(node);
    return node;
  }

  /** The engine there now has shown its list of models. */
  listed(node: Node, cards: ReadonlyMap<string, ModelCard>): void {
    node.listed = true;
    node.noList = null;
    node.cards = cards;
    if (!node.registeredBy(cards)) this.#forgetRegistered(node);
    this.discovered(node, [...cards.keys()]);
  }

  /** The address was taken over by an engine of another model: what was registered is another's. */
  #forgetRegistered(node: Node): void {
    const said = this.#naming.registered.get(node.url);
    if (said === undefined) return;
    this.#naming.registered.set(node.url, { ...said, models: [] });
    node.serve([], node.discoveredModels);
    this.index.set(node);
  }

  /** The engine's own list of models replaces what was discovered before. */
  discovered(node: Node, models: readonly string[]): void {
    const isSaid = models.join("\n") === node.discoveredModels.join("\n");
    node.serve(node.registeredModels, models);
    if (isSaid || this.#nodes.get(node.url) !== node) return;
    this.index.set(node);
    this.#changed();
  }

  /** The node's last request has ended: if it was removed, nothing is left of it. */
  idle(node: Node): void {
    if (this.#elsewhere.isShared || this.#leaving.get(node.url) !== node) return;
    this.#forget(node);
  }

  /** Forgets removed nodes to which nobody sends anything: nobody tells that others' requests have ended. */
  sweep(): void {
    for (const node of this.#leaving.values()) if (node.inFlight === 0) this.#forget(node);
  }

  #forget(node: Node): void {
    this.#leaving.delete(node.url);
    if (this.#slots[node.slot] === node) this.#slots[node.slot] = null;
  }

  /** The engine of the node registered anew with another process: whatever ran there before runs no more. */
  renewed(node: Node): void {
    this.#renew(node, { models: node.registeredModels, role: node.role, speed: node.speed });
  }

  /** The name that the source of the highest rank gives it, unless another node is called so. */
  #nameOf(url: string): string | null {
    const name = this.#naming.nameOf(url);
    const bearer = name === null ? undefined : this.byName(name);
    return bearer === undefined || bearer.url === url ? name : null;
  }

  /** Makes of the node at `url` what is said of it; whether that changed anything. */
  #settle(url: string, toProbe: Node[]): boolean {
    const named = this.#removed.has(url) ? null : this.#naming.of(url);
    const node = this.#nodes.get(url);
    if (named === null) {
      if (node !== undefined) this.#takeOut(node);
      return node !== undefined;
    }
    if (node === undefined) {
      const joined = this.#join(url, named, named.slot);
      if (named.enabled) toProbe.push(joined);
      else joined.health.drain();
      return true;
    }
    const isOther = !isSame(node, named) || node.name !== this.#nameOf(url);
    if (isOther) this.#update(node, named);
    if (!named.enabled || this.#drained.has(url)) {
      this.#drain(node);
    } else if (node.health.state === "draining") {
      this.#registered(node);
      toProbe.push(node);
    }
    return isOther;
  }

  #join(url: string, registration: Registration, given?: number): Node {
    const leaving = this.#leaving.get(url);
    const left = given === undefined || leaving?.slot === given ? leaving : undefined;
    const slot = given ?? this.#freeSlot();
    const node = left ?? new Node(url, slot, registration, this.#elsewhere);
    this.#leaving.delete(url);
    this.#slots[node.slot] = node;
    this.#nodes.set(url, node);
    node.name = this.#nameOf(url);
    if (left !== undefined) this.#renew(left, registration);
    this.index.set(node);
    this.#listeners.tell((listener) => listener.nodeAdded?.(node));
    return node;
  }

  #renew(node: Node, registration: Registration): void {
    const isOther = registration.role !== node.role;
    node.serve([], []);
    this.#update(node, registration);
    this.#registered(node);
    this.#listeners.restarted(node, isOther ? "gone" : "registered");
  }

  #update(node: Node, { models, role, speed }: Registration): void {
    node.role = role;
    node.speed = speed;
    node.name = this.#nameOf(node.url);
    node.serve(models, node.discoveredModels);
    this.index.set(node);
  }

  #takeOut(node: Node): void {
    const { url } = node;
    this.#nodes.delete(url);
    this.#drained.delete(url);
    this.index.delete(node);
    // It is soon probed no more: should it register again, a probe has to say that it is well.
    node.health.drain();
    const isLeft = node.inFlight === 0 && !this.#elsewhere.isShared;
    if (!isLeft) this.#leaving.set(url, node);
    this.#listeners.tell((listener) => listener.nodeRemoved?.(node));
    if (isLeft) this.#slots[node.slot] = null;
  }

  #freeSlot(): number {
    const free = this.#slots.indexOf(null);
    return free < 0 ? this.#slots.length : free;
  }

  #changed(): void {
    this.#listeners.tell((listener) => listener.membershipChanged?.());
  }
}

function isSame(node: Node, { models, role, speed }: Registration): boolean {
  return (
    node.role === role &&
    node.speed === speed &&
    node.registeredModels.join("\n") === models.join("\n")
  );
}
