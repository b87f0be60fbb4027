/** What only an oracle can know: tokens, and what is really in an engine's cache. */
import type { EngineNode } from "../engine-node.ts";
import type { WorkloadRequest } from "../workload.ts";

/** Prompt tokens that an engine has still to compute for the requests it has. */
export function pendingTokens({ model }: EngineNode): number {
  const { sequences, cache } = model.inside();
  let pending = 0;
  for (const { state, computed, target, request } of sequences) {
    if (computed >= target) continue;
    const { blockHashes = [] } = request;
    const cached = state === "waiting" ? cache.matchingBlocks(blockHashes).length : 0;
    pending += Math.max(0, target - computed - cached * model.params.blockSizeTokens);
  }
  return pending;
}

/** Of a prompt, the tokens that it would have to compute. */
export function uncachedTokens({ model }: EngineNode, request: WorkloadRequest): number {
  const cached = model.inside().cache.matchingBlocks(request.blockHashes).length;
  return Math.max(1, request.inputTokens - cached * model.params.blockSizeTokens);
}

/** Requests in the engine, in its batch or waiting. */
export function batchSize({ model }: EngineNode): number {
  let count = 0;
  for (const _ of model.inside().sequences) count += 1;
  return count;
}
