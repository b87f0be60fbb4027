import type { Node } from "./node.ts";

/** Internal errors of one node within a moment that cannot all be their prompts' fault. */
const SEVERAL = 3;
const MOMENT_MS = 1_000;

/** Which nodes have failed several requests at one moment. */
export class FailingNodes {
  /** When each node last failed, ms, the latest last, no more than it takes. */
  readonly #failedAtMs = new WeakMap<Node, readonly number[]>();
  readonly #now: () => number;

  /** @param now Monotonic clock, ms. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** The node answered a request with an internal error. */
  failed(node: Node): void {
    const times = [...(this.#failedAtMs.get(node) ?? []), this.#now()];
    this.#failedAtMs.set(node, times.slice(-SEVERAL));
  }

  has(node: Node): boolean {
    const times = this.#failedAtMs.get(node) ?? [];
    const [first = Number.NEGATIVE_INFINITY] = times;
    return times.length === SEVERAL && this.#now() - first <= MOMENT_MS;
  }
}
