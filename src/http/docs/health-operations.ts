import { failures } from "./errors.ts";
import { type Operations, ok } from "./operation.ts";

const BASE = { tags: ["Health"], security: [] };
const HEALTHY = ok("Status", { status: "healthy" }, "The proxy is up");
const READY = {
  ...ok("Status", { status: "ready" }, "At least one node is healthy"),
  ...failures(["service_unavailable"]),
};
const LIVE = "Whether the proxy is up";
const ROUTABLE = "Whether a request has somewhere to go";

export const HEALTH_OPERATIONS: Operations = {
  "GET /health": { ...BASE, operationId: "getHealth", summary: LIVE, responses: HEALTHY },
  "GET /liveness": {
    ...BASE,
    operationId: "getLiveness",
    summary: `${LIVE}: another name of /health`,
    responses: HEALTHY,
  },
  "GET /ready": { ...BASE, operationId: "getReady", summary: ROUTABLE, responses: READY },
  "GET /readiness": {
    ...BASE,
    operationId: "getReadiness",
    summary: `${ROUTABLE}: another name of /ready`,
    responses: READY,
  },
};
