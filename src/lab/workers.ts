/**
 * Several workers of one proxy before the same engines, as `--workers` has them: in-flight is the sum over
 * all, probes and gauges are everybody's, and so is what is known of prompts and latencies; what
 * answers teach of a node's conduct and of how large its cache is is each worker's own.
 */

import { PromptKnowledge } from "../core/knowledge/prompt-knowledge.ts";
import type { OtherProcesses, PromptNews } from "../core/knowledge/prompt-news.ts";
import type { Elsewhere } from "../core/pool/elsewhere.ts";
import { NOBODY_ELSE } from "../core/pool/elsewhere.ts";
import type { Node } from "../core/pool/node.ts";
import { Registry } from "../core/pool/registry.ts";
import { seededRandom } from "../sim/model/seeded-random.ts";
import type { Contestant } from "./contestant.ts";

export interface WorkersOptions {
  /** At least 1. */
  readonly count: number;
  readonly seed: number;
  /** Called for each: what it learns is its own. */
  readonly make: () => Contestant;
  readonly now: () => number;
  readonly random: () => number;
}

export class Workers {
  readonly registries: readonly Registry[];
  readonly #connections: () => number;
  /** While it is true, a worker hears what another has found. */
  #isHearing = false;

  constructor({ count, seed, make, now, random }: WorkersOptions) {
    const counts = Array.from({ length: count }, () => new Counts());
    // Draws of their own: one worker's choices are those of a run without workers.
    this.#connections = seededRandom(seed + 1_000_003);
    const prompts: PromptKnowledge[] = [];
    const registries = counts.map((own) => {
      const { strategy, decode = strategy, knowledge } = make();
      prompts.push(...knowledge.filter((one) => one instanceof PromptKnowledge));
      return new Registry({
        now,
        onListenerError: (error) => {
          throw error;
        },
        random,
        strategy: (role) => (role === "Decode" ? decode : strategy),
        knowledge,
        elsewhere: count === 1 ? NOBODY_ELSE : sharedBy(counts, own, now),
        sampleMaxAgeMs: 15_000,
        maxInFlightPerNode: Number.POSITIVE_INFINITY,
      });
    });
    this.registries = registries;
    if (count === 1) return;
    for (const own of prompts) {
      own.others = toAll(prompts.filter((one) => one !== own).map((one) => one.from()));
    }
    for (const [at, registry] of registries.entries()) {
      this.#tellOthersOf(registry);
      registry.subscribe({ nodeAdded: (node) => counts[at]?.nodes.set(node.slot, node) });
    }
  }

  /** Whose a new connection is: the kernel goes by a hash of its addresses. */
  forConnection(): Registry {
    const at = Math.floor(this.#connections() * this.registries.length);
    const registry = this.registries[at] ?? this.registries[0];
    if (registry === undefined) throw new Error("there is no worker");
    return registry;
  }

  /** Does it for a node in each of them. */
  forEach(url: string, act: (registry: Registry, node: Node) => void): void {
    for (const registry of this.registries) {
      const node = registry.get(url);
      if (node !== undefined) act(registry, node);
    }
  }

  /** As workers do, by way of the control plane. */
  #tellOthersOf(registry: Registry): void {
    registry.subscribe({
      stateChanged: ({ url, health: { doubt }, lastError }, from, to) => {
        if (this.#isHearing) return;
        this.#isHearing = true;
        this.forEach(url, ({ learning }, node) => {
          if (learning === registry.learning) return;
          if (to === "unhealthy" && doubt !== null) {
            learning.doubted(node, doubt, lastError ?? "");
          }
          if (from === "unhealthy" && to === "healthy") learning.cleared(node);
        });
        this.#isHearing = false;
      },
    });
  }
}

/** What one worker counts, by slot. */
class Counts {
  readonly inFlight = new Map<number, number>();
  readonly nodes = new Map<number, Node>();
  readonly longestBytes = new Map<number, number>();
}

function toAll(all: readonly PromptNews[]): OtherProcesses {
  return {
    catchUp: () => {},
    sent: (prompt, atMs) => {
      for (const one of all) one.sent(prompt, atMs);
    },
    computed: (id, bytes, ms, atMs) => {
      for (const one of all) one.computed(id, bytes, ms, atMs);
    },
    ended: (id, isAnswered, atMs) => {
      for (const one of all) one.ended(id, isAnswered, atMs);
    },
  };
}

function sharedBy(counts: readonly Counts[], own: Counts, now: () => number): Elsewhere {
  const others = counts.filter((one) => one !== own);
  const sum = (read: (of: Counts) => number | undefined) =>
    others.reduce((all, one) => all + (read(one) ?? 0), 0);
  const add = (slot: number, by: 1 | -1) =>
    own.inFlight.set(slot, (own.inFlight.get(slot) ?? 0) + by);
  return {
    isShared: true,
    inFlight: (slot) => sum(({ inFlight }) => inFlight.get(slot)),
    pieces: (slot) => sum(({ nodes }) => nodes.get(slot)?.progress),
    longestBytes: (slot) => Math.max(...others.map((one) => one.longestBytes.get(slot) ?? 0)),
    waits: (slot, bytes) => {
      own.longestBytes.set(slot, bytes);
    },
    answered: (slot, latencyMs) => {
      for (const { nodes } of others) nodes.get(slot)?.answeredAnyone(latencyMs, now());
    },
    begin: (slot) => {
      add(slot, 1);
      return true;
    },
    end: (slot) => {
      add(slot, -1);
    },
  };
}
