import { Elysia } from "elysia";
import { ProxyError } from "../core/errors.ts";
import type { DistServe } from "../distserve/distserve.ts";
import { Collected, WarmedUp } from "./schemas.ts";
import type { Services } from "./services.ts";

/** Administration of pairs and sessions, under LMDeploy's paths; who may is judged in `front.ts`. */
export function distServeRoutes({ serving }: Services) {
  return new Elysia({ name: "distserve" })
    .post(
      "/distserve/connection_warmup",
      async () => {
        const pairs = await distServeOf(serving.distServe).connectAll();
        return { SUCCESS: pairs.every(({ state }) => state === "connected"), pairs };
      },
      { parse: "none", response: { 200: WarmedUp } },
    )
    .post("/distserve/gc", () => distServeOf(serving.distServe).collect(), {
      parse: "none",
      response: { 200: Collected },
    });
}

function distServeOf(distServe: DistServe | null): DistServe {
  if (distServe !== null) return distServe;
  throw new ProxyError(
    "invalid_request",
    "This proxy has no prefill and decode nodes; start it with --serving-strategy DistServe.",
  );
}
