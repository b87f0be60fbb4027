import { failures } from "./errors.ts";
import { type Operations, ok } from "./operation.ts";

const PREFILL = "http://10.0.0.7:23333";
const PAIRS = {
  SUCCESS: false,
  pairs: [
    { prefill: PREFILL, decode: "http://10.0.0.8:23333", state: "connected", error: null },
    {
      prefill: PREFILL,
      decode: "http://10.0.0.9:23333",
      state: "impossible",
      error: "POST http://10.0.0.9:23333/distserve/p2p_initialize: it answered FAIL",
    },
  ],
};

const BASE = { tags: ["DistServe"], security: [{ adminKey: [] }] };
const REFUSALS = ["invalid_request", "invalid_api_key", "forbidden", "internal_error"] as const;

export const DISTSERVE_OPERATIONS: Operations = {
  "POST /distserve/connection_warmup": {
    ...BASE,
    operationId: "connectPairs",
    summary: "Connect every prefill node with every decode node",
    description:
      "Answered when the last pair is connected or has failed, or after half a minute with how far " +
      "it has come. Runs by itself when a node joins, unless the proxy was started with " +
      "`--no-warmup`. 400 in Hybrid mode.",
    responses: { ...ok("WarmedUp", PAIRS, "How the pairs are"), ...failures(REFUSALS) },
  },
  "POST /distserve/gc": {
    ...BASE,
    operationId: "freeSessions",
    summary: "Free the KV blocks that no request wants any more",
    description:
      "The proxy frees them by itself, and tries again where that fails; this tries at once. 400 in " +
      "Hybrid mode.",
    responses: {
      ...ok("Collected", { freed: 2, failed: 0 }, "What became of them"),
      ...failures(REFUSALS),
    },
  },
};
