import { KeptIdFinder, type KeptKind } from "../kept-id.ts";
import type { Keepers } from "./keepers.ts";
import type { Node } from "./node.ts";

const NOWHERE: readonly Node[] = [];

/** A request that has to do with what engines keep: it refers to a response or conversation, or makes one. */
export class KeptRequest {
  /** The one node that has what it refers to; null when that is not known, or it refers to nothing. */
  readonly keeper: Node | null;
  /** It refers to something, and nobody knows where that is: a node's 404 says no more than that it is not there. */
  readonly isSought: boolean;
  readonly #keepers: Keepers;
  readonly #refersTo: readonly string[];
  readonly #finder: KeptIdFinder | null;
  #notAt: readonly Node[] = NOWHERE;

  /**
   * @param refersTo Ids, that of the response before a conversation's.
   * @param makes What its answer may be that is kept; null for nothing.
   */
  constructor(keepers: Keepers, refersTo: readonly string[], makes: KeptKind | null) {
    this.#keepers = keepers;
    this.#refersTo = refersTo;
    this.#finder = makes === null ? null : new KeptIdFinder(makes);
    this.keeper = refersTo.map((id) => keepers.of(id)).find((node) => node !== null) ?? null;
    this.isSought = refersTo.length > 0 && this.keeper === null;
  }

  /** Whether it refers to anything. */
  get refersTo(): boolean {
    return this.#refersTo.length > 0;
  }

  /** `node` has said that what is sought is not there. */
  isNotAt(node: Node): void {
    this.#notAt = [...this.#notAt, node];
  }

  /** How many of `nodes` have not said so: what is sought may be there. */
  unheard(nodes: readonly Node[]): number {
    return nodes.filter((node) => !this.#notAt.includes(node)).length;
  }

  /** A good answer of `node` begins. */
  answeredBy(node: Node): void {
    for (const id of this.#refersTo) this.#keepers.remember(id, node);
  }

  /** A piece of it. */
  piece(node: Node, piece: Uint8Array): void {
    const id = this.#finder?.push(piece) ?? null;
    if (id !== null) this.#keepers.remember(id, node);
  }
}
