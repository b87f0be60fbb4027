/** What a choice of a node was made on, told by the choice itself. */

/** One node that came into question. */
export interface Weighed {
  /** No more of it: what is remembered of choices keeps no node that has left. */
  readonly node: { readonly url: string; readonly name: string | null };
  /** What the strategy looked for the least of; null when it compares nothing, or there was nothing to compare. */
  readonly score: number | null;
  /** Age of the sample of its gauges, ms, or null. */
  readonly sampleAgeMs: number | null;
  /** All that the strategy saw of it, by name. */
  readonly seen: Readonly<Record<string, number | null>>;
}

/**
 * `strategy`: it was the strategy's choice. `only`: there was no other. `trial`: it had been taken out for
 * its answers, and this request decides whether it returns. `comparison`: the strategy's choice but for a
 * node whose answers are in question, and are compared with those of its peers.
 */
export const WHYS = ["strategy", "only", "trial", "comparison"] as const;

/** Why one node was chosen and not another. */
export interface Explained {
  readonly why: (typeof WHYS)[number];
  /** By the name users give it; null for none of those. */
  readonly strategy: string | null;
  /** How many came into question. */
  readonly candidates: number;
  /** No node was routable: all were candidates. */
  readonly lastResort: boolean;
  /** The chosen one, then the best of the others; three at most. */
  readonly best: readonly [Weighed, ...Weighed[]];
}

/** Who wants to know. */
export interface Explainer {
  chosen(explained: Explained): void;
}
