import { ROLE_NUMBERS } from "../core/engine/roles.ts";
import type { Node } from "../core/pool/node.ts";
import type { NodeFigures } from "../observe/node-figures.ts";
import type { Disaggregated } from "./mode.ts";

/**
 * A node as `/nodes/status` shows it: LMDeploy's five fields with their meaning (latency in s,
 * the last 15 at most), then ours.
 */
export function nodeStatus(
  node: Node,
  disaggregated: Disaggregated | null,
  nowMs: number,
  beside: NodeFigures | undefined,
) {
  const sample = node.cache.sample;
  const ageMs = node.cache.ageMs(nowMs);
  const figures = disaggregated?.figures(node);
  return {
    role: ROLE_NUMBERS[node.role],
    models: [...node.models],
    unfinished: node.inFlight,
    latency: node.latencies.toArray().map((latencyMs) => latencyMs / 1_000),
    speed: node.speed,
    name: node.name,
    state: node.health.state,
    warm: node.health.warm(nowMs),
    cache_usage: sample?.cacheUsage ?? null,
    running: sample?.running ?? null,
    waiting: sample?.waiting ?? null,
    last_metrics_age_s: ageMs === null ? null : ageMs / 1_000,
    engine: node.engine,
    last_error: node.lastError ?? node.noList ?? node.noUsage,
    no_models: node.noList,
    no_usage: node.noUsage,
    pairs: figures?.pairs ?? 0,
    open_sessions: figures?.openSessions ?? 0,
    ...beside,
  };
}
