/** Many runs, one after another, and telling of each. */

import type { Hash } from "../core/body/prompt-blocks.ts";
import type { EngineParams } from "../sim/model/engine-params.ts";
import type { ClusterShape } from "./clusters.ts";
import { contestantOf } from "./contestants.ts";
import { type Replayed, replay } from "./replay.ts";
import type { Trace } from "./trace/trace.ts";
import { prepare, type Workload } from "./workload.ts";

export interface NamedModel {
  readonly name: string;
  readonly params: EngineParams;
}

export interface Suite {
  readonly traces: readonly Trace[];
  readonly clusters: readonly ClusterShape[];
  readonly models: readonly NamedModel[];
  readonly strategies: readonly string[];
  readonly seeds: number;
  /** Of the proxy: 1 for one process. */
  readonly workers: number;
  readonly rate: number;
  readonly closedLoop: boolean;
  readonly hash: Hash;
  /** A real clock, ms. */
  readonly stopwatch: () => number;
  /** Called now and then with what is done, and how much of it is, 0 to 1. */
  readonly tell: (what: string, share: number) => void;
}

/** Every strategy over every trace, cluster, model and seed. */
export function* runSuite(suite: Suite): Generator<Replayed> {
  const { clusters, models, strategies, seeds, hash } = suite;
  const { workers, rate, closedLoop, stopwatch, tell } = suite;
  for (const trace of suite.traces) {
    const told = (what: string) => (requests: number) =>
      tell(what, requests / trace.requests.length);
    const workloads = new Map<number, Workload>();
    for (const model of models) {
      const size = model.params.blockSizeTokens;
      const workload =
        workloads.get(size) ?? prepare(trace, size, hash, told(`preparing ${trace.name}`));
      workloads.set(size, workload);
      for (const cluster of clusters) {
        for (const name of strategies) {
          const make = contestantOf(name);
          if (make === null) throw new Error(`no strategy ${name}`);
          for (let seed = 1; seed <= seeds; seed += 1) {
            const contestant = { name, make };
            yield replay({
              workload,
              cluster,
              model,
              contestant,
              seed,
              workers,
              rate,
              closedLoop,
              stopwatch,
              tell: told(`${name} on ${trace.name}`),
            });
          }
        }
      }
    }
  }
}
