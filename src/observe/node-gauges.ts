import type { Node } from "../core/pool/node.ts";
import { oldestLeaseMs } from "./node-figures.ts";

/** A figure of one node; null where there is none. */
interface NodeGauge {
  readonly name: string;
  readonly help: string;
  readonly value: (node: Node, nowMs: number) => number | null;
}

export const NODE_GAUGES: readonly NodeGauge[] = [
  {
    name: "lmproxy_node_in_flight",
    help: "Open requests on a node.",
    value: (node) => node.inFlight,
  },
  {
    name: "lmproxy_node_oldest_request_seconds",
    help: "Age of a node's oldest open request; 0 without any.",
    value: (node, nowMs) => (nowMs - (oldestLeaseMs(node) ?? nowMs)) / 1_000,
  },
  {
    name: "lmproxy_node_cache_usage_ratio",
    help: "Share of a node's KV cache in use, as it says.",
    value: ({ cache }) => cache.sample?.cacheUsage ?? null,
  },
  {
    name: "lmproxy_node_running",
    help: "Requests a node runs, as it says.",
    value: ({ cache }) => cache.sample?.running ?? null,
  },
  {
    name: "lmproxy_node_waiting",
    help: "Requests a node holds back, as it says.",
    value: ({ cache }) => cache.sample?.waiting ?? null,
  },
  {
    name: "lmproxy_node_sample_age_seconds",
    help: "How long ago a node's load was read.",
    value: ({ cache }, nowMs) => {
      const ageMs = cache.ageMs(nowMs);
      return ageMs === null ? null : ageMs / 1_000;
    },
  },
];
