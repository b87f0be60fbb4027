import type { NodeState } from "./health.ts";
import type { Lease, Outcome } from "./lease.ts";
import type { Node } from "./node.ts";
import type { Word } from "./words.ts";

/**
 * How it shows that the engine behind a URL is another process than before: `gone`, nobody listened
 * there, or its own numbers say so; `registered`, it registered once more, as an operator may also let
 * one do that runs on.
 */
export type RestartSign = "gone" | "registered";

/** What others may want to hear of; called synchronously, after the change. */
export interface RegistryListener {
  nodeAdded?(node: Node): void;
  nodeRemoved?(node: Node): void;
  /** The engine behind the URL is another process now, or may be one. */
  nodeRestarted?(node: Node, by: RestartSign): void;
  stateChanged?(node: Node, from: NodeState, to: NodeState): void;
  /** A node should be probed at once. */
  probeWanted?(node: Node): void;
  /** A request was given to a node, and is sent to it now. */
  leaseStarted?(lease: Lease): void;
  /** The first byte of its answer's body arrived. */
  firstByte?(lease: Lease): void;
  leaseEnded?(lease: Lease, outcome: Outcome): void;
  /** Nodes, models, roles or speeds changed: what is kept on disk is out of date. Once for a set. */
  membershipChanged?(): void;
  /** Something was found out of a node, and is acted on next. */
  said?(word: Word): void;
}

/** Who listens, and telling them all. One that throws keeps nobody else from being told. */
export class Listeners {
  readonly #onError: (error: unknown) => void;
  readonly #reported = new WeakSet<RegistryListener>();
  #all: readonly RegistryListener[] = [];

  /** @param onError Given the first error of each listener. */
  constructor(onError: (error: unknown) => void) {
    this.#onError = onError;
  }

  /** Calls `listener` from now on; the function returned ends that. */
  add(listener: RegistryListener): () => void {
    this.#all = [...this.#all, listener];
    return () => {
      this.#all = this.#all.filter((other) => other !== listener);
    };
  }

  // Told so often that they have ways of their own.

  leaseStarted(lease: Lease): void {
    for (const listener of this.#all) {
      try {
        listener.leaseStarted?.(lease);
      } catch (error) {
        this.#report(listener, error);
      }
    }
  }

  firstByte(lease: Lease): void {
    for (const listener of this.#all) {
      try {
        listener.firstByte?.(lease);
      } catch (error) {
        this.#report(listener, error);
      }
    }
  }

  leaseEnded(lease: Lease, outcome: Outcome): void {
    for (const listener of this.#all) {
      try {
        listener.leaseEnded?.(lease, outcome);
      } catch (error) {
        this.#report(listener, error);
      }
    }
  }

  tell(call: (listener: RegistryListener) => void): void {
    for (const listener of this.#all) {
      try {
        call(listener);
      } catch (error) {
        this.#report(listener, error);
      }
    }
  }

  #report(listener: RegistryListener, error: unknown): void {
    if (this.#reported.has(listener)) return;
    this.#reported.add(listener);
    this.#onError(error);
  }

  /** Tells that the node's state is another than it was, `from`; nothing is told if it is the same. */
  changed(node: Node, from: NodeState): void {
    const { state } = node.health;
    if (state !== from) this.#tellState(node, from, state);
  }

  /** Apart: what it hands on would be made for each request otherwise, whether the state changes or not. */
  #tellState(node: Node, from: NodeState, to: NodeState): void {
    this.tell((listener) => listener.stateChanged?.(node, from, to));
  }

  /** The engine behind the node is another process than before. */
  restarted(node: Node, by: RestartSign): void {
    node.restarted();
    this.tell((listener) => listener.nodeRestarted?.(node, by));
  }

  said(word: Word): void {
    this.tell((listener) => listener.said?.(word));
  }

  probeWanted(node: Node): void {
    this.tell((listener) => listener.probeWanted?.(node));
  }
}
