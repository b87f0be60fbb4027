import type { Node } from "./node.ts";

/** Ids that are known at once. */
const MOST_IDS = 100_000;
/** Engines keep responses in memory: after a day few are still there, ms. */
const MAX_AGE_MS = 24 * 3_600_000;

export interface KeepersOptions {
  /** Monotonic clock, ms. */
  readonly now: () => number;
  /** Whether a node is still there. */
  readonly isMember: (node: Node) => boolean;
  /** Left out: 100,000. */
  readonly mostIds?: number;
}

interface Kept {
  readonly node: Node;
  readonly sinceMs: number;
}

/** Which node keeps which response or conversation, by ids from answers: for a day, and no more than so many. */
export class Keepers {
  readonly #options: Required<KeepersOptions>;
  /** Half of them; full, it takes the place of the other half. */
  #young = new Map<string, Kept>();
  #old = new Map<string, Kept>();

  constructor(options: KeepersOptions) {
    this.#options = { mostIds: MOST_IDS, ...options };
  }

  /** Ids that are held, known or too old. */
  get size(): number {
    return this.#young.size + this.#old.size;
  }

  remember(id: string, node: Node): void {
    this.#old.delete(id);
    this.#young.set(copied(id), { node, sinceMs: this.#options.now() });
    if (this.#young.size < this.#options.mostIds / 2) return;
    this.#old = this.#young;
    this.#young = new Map();
  }

  /** The node that keeps it; null when that is not known, or the node has left. */
  of(id: string): Node | null {
    const { now, isMember } = this.#options;
    const kept = this.#young.get(id) ?? this.#old.get(id);
    if (kept === undefined || now() - kept.sinceMs >= MAX_AGE_MS) return null;
    return isMember(kept.node) ? kept.node : null;
  }
}

/** An id that was cut out of a text, of an answer or a URL, would keep all of that in memory. */
function copied(id: string): string {
  return Buffer.from(id).toString();
}
