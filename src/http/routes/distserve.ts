import { ProxyError } from "../../core/errors.ts";
import { failures } from "../docs/errors.ts";
import { ok } from "../docs/operation.ts";
import type { Disaggregated } from "../mode.ts";
import { Collected, WarmedUp } from "../schemas.ts";
import type { Services } from "../services.ts";
import { route } from "./route.ts";

const ROW = { method: "POST", who: "administrator" } as const;
const TAGS = ["DistServe"];
const FAILURES = failures(["invalid_request", "invalid_api_key", "forbidden", "internal_error"]);

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

/** Administration of pairs and sessions, under LMDeploy's paths. */
export const distServeRoutes = [
  route({
    ...ROW,
    path: "/distserve/connection_warmup",
    detail: {
      tags: TAGS,
      operationId: "connectPairs",
      summary: "Connect every prefill node with every decode node",
      description:
        "Answered when the last pair is connected or has failed, or after half a minute with how far " +
        "it has come. Runs by itself when a node joins, unless the proxy was started with " +
        "`--no-warmup`. 400 in Hybrid mode.",
      responses: { ...ok("WarmedUp", PAIRS, "How the pairs are"), ...FAILURES },
    },
    response: WarmedUp,
    answer: async (_, services) => {
      const pairs = await disaggregated(services).connectAll();
      return { SUCCESS: pairs.every(({ state }) => state === "connected"), pairs };
    },
  }),
  route({
    ...ROW,
    path: "/distserve/gc",
    detail: {
      tags: TAGS,
      operationId: "freeSessions",
      summary: "Free the KV blocks that no request wants any more",
      description:
        "The proxy frees them by itself, and tries again where that fails; this tries at once. 400 in " +
        "Hybrid mode.",
      responses: {
        ...ok("Collected", { freed: 2, failed: 0 }, "What became of them"),
        ...FAILURES,
      },
    },
    response: Collected,
    answer: (_, services) => disaggregated(services).collect(),
  }),
];

function disaggregated({ mode }: Services): Disaggregated {
  if (mode.disaggregated !== null) return mode.disaggregated;
  throw new ProxyError(
    "invalid_request",
    "This proxy has no prefill and decode nodes; start it with --serving-strategy DistServe.",
  );
}
