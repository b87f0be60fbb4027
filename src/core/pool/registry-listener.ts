import type { NodeState } from "./health.ts";
import type { Lease, Outcome } from "./lease.ts";
import type { Node } from "./node.ts";

/** What others may want to hear of; called synchronously, after the change. */
export interface RegistryListener {
  nodeAdded?(node: Node): void;
  nodeRemoved?(node: Node): void;
  /** The engine behind the URL is another process now. */
  nodeRestarted?(node: Node): void;
  stateChanged?(node: Node, from: NodeState, to: NodeState): void;
  /** A node should be probed at once. */
  probeWanted?(node: Node): void;
  leaseEnded?(lease: Lease, outcome: Outcome): void;
  /** Nodes, models, roles or speeds changed: what is kept on disk is out of date. */
  membershipChanged?(): void;
}

/** Who listens, and telling them all. */
export class Listeners {
  #all: readonly RegistryListener[] = [];

  /** Calls `listener` from now on; the function returned ends that. */
  add(listener: RegistryListener): () => void {
    this.#all = [...this.#all, listener];
    return () => {
      this.#all = this.#all.filter((other) => other !== listener);
    };
  }

  /** `leaseEnded`, told so often that it has a way of its own. */
  leaseEnded(lease: Lease, outcome: Outcome): void {
    for (const listener of this.#all) listener.leaseEnded?.(lease, outcome);
  }

  tell(call: (listener: RegistryListener) => void): void {
    for (const listener of this.#all) call(listener);
  }
}
