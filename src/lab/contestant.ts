import type { Knowledge } from "../core/pool/candidates.ts";
import type { Strategy } from "../core/strategies/strategy.ts";
import type { EngineNode } from "./engine-node.ts";
import type { WorkloadRequest } from "./workload.ts";

/** What a strategy is made of for one run. */
export interface Contestant {
  readonly strategy: Strategy;
  /** Among decode nodes; left out: the same. */
  readonly decode?: Strategy;
  readonly knowledge: readonly Knowledge[];
}

/** What a yardstick may be shown that no proxy can know. */
export interface Oracle {
  engineOf(id: number): EngineNode | undefined;
  /** The request that a node is being chosen for. */
  current(): WorkloadRequest | null;
}
