import type { Node } from "../core/pool/node.ts";

/**
 * Requests that will need a decode node, so that no more of them begin than decode nodes have room
 * for. Prefill engines are quicker: without this, sessions would pile up there and fill their caches.
 */
export class DecodeRoom {
  readonly #maxInFlightPerNode: number;
  readonly #coming = new Set<object>();

  /** @param maxInFlightPerNode Infinity for no limit. */
  constructor(maxInFlightPerNode: number) {
    this.#maxInFlightPerNode = maxInFlightPerNode;
  }

  /** Whether `request` finds a place on one of `nodes` once its prefill is over. */
  hasRoomFor(request: object, nodes: readonly Node[], nowMs: number): boolean {
    if (this.#maxInFlightPerNode === Number.POSITIVE_INFINITY) return true;
    let free = this.#coming.has(request) ? 1 : 0;
    for (const node of nodes) {
      if (node.health.routable(nowMs))
        free += Math.max(this.#maxInFlightPerNode - node.inFlight, 0);
    }
    return this.#coming.size < free;
  }

  /** `request` will need a decode node. */
  coming(request: object): void {
    this.#coming.add(request);
  }

  /** It has one, or needs none any more. */
  arrived(request: object): void {
    this.#coming.delete(request);
  }
}
