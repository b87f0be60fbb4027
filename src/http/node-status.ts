import type { Node, Role } from "../core/node.ts";
import type { DistServe } from "../distserve/distserve.ts";

const ROLE_NUMBERS = { Hybrid: 1, Prefill: 2, Decode: 3 } as const;

/** The role of a registration, by number or name; missing means Hybrid. */
export function readRole(role: number | string | null | undefined): Role {
  if (role === "Prefill" || role === 2) return "Prefill";
  if (role === "Decode" || role === 3) return "Decode";
  return "Hybrid";
}

/**
 * A node as `/nodes/status` shows it: LMDeploy's five fields with their meaning (latency in s,
 * the last 15 at most), then ours.
 */
export function nodeStatus(node: Node, distServe: DistServe | null, nowMs: number) {
  const sample = node.cache.sample;
  const ageMs = node.cache.ageMs(nowMs);
  const figures = distServe?.figures(node);
  return {
    role: ROLE_NUMBERS[node.role],
    models: [...node.models],
    unfinished: node.inFlight,
    latency: node.latencies.toArray().map((latencyMs) => latencyMs / 1_000),
    speed: node.speed,
    state: node.health.state,
    warm: node.health.warm(nowMs),
    cache_usage: sample?.cacheUsage ?? null,
    running: sample?.running ?? null,
    waiting: sample?.waiting ?? null,
    last_metrics_age_s: ageMs === null ? null : ageMs / 1_000,
    engine: node.engine,
    last_error: node.lastError ?? node.noUsage,
    pairs: figures?.pairs ?? 0,
    open_sessions: figures?.openSessions ?? 0,
  };
}
