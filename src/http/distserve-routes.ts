import { Elysia } from "elysia";
import { ProxyError } from "../core/errors.ts";
import type { Disaggregated } from "./mode.ts";
import { Collected, WarmedUp } from "./schemas.ts";
import type { Services } from "./services.ts";

/** Administration of pairs and sessions, under LMDeploy's paths; who may is judged in `front.ts`. */
export function distServeRoutes(services: Services) {
  return new Elysia({ name: "distserve" })
    .post(
      "/distserve/connection_warmup",
      async () => {
        const pairs = await disaggregated(services).connectAll();
        return { SUCCESS: pairs.every(({ state }) => state === "connected"), pairs };
      },
      { parse: "none", response: { 200: WarmedUp } },
    )
    .post("/distserve/gc", () => disaggregated(services).collect(), {
      parse: "none",
      response: { 200: Collected },
    });
}

function disaggregated({ mode }: Services): Disaggregated {
  if (mode.disaggregated !== null) return mode.disaggregated;
  throw new ProxyError(
    "invalid_request",
    "This proxy has no prefill and decode nodes; start it with --serving-strategy DistServe.",
  );
}
