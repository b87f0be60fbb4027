import { ProxyError } from "../../core/errors.ts";
import { failures } from "../docs/errors.ts";
import { ok } from "../docs/operation.ts";
import type { Services } from "../services.ts";
import { route } from "./route.ts";

const ROW = { method: "GET", who: "anybody" } as const;
const TAGS = ["Health"];
const LIVE = "Whether the proxy is up";
const LIVE_RESPONSES = ok("Status", { status: "healthy" }, "The proxy is up");
const ROUTABLE = "Whether a request has somewhere to go";
const ROUTABLE_RESPONSES = {
  ...ok("Status", { status: "ready" }, "At least one node is healthy"),
  ...failures(["service_unavailable"]),
};

/** Whether the proxy is up, and whether it has somewhere to send requests. */
export const healthRoutes = [
  route({
    ...ROW,
    path: "/health",
    detail: { tags: TAGS, operationId: "getHealth", summary: LIVE, responses: LIVE_RESPONSES },
    answer: healthy,
  }),
  route({
    ...ROW,
    path: "/liveness",
    detail: {
      tags: TAGS,
      operationId: "getLiveness",
      summary: `${LIVE}: another name of /health`,
      responses: LIVE_RESPONSES,
    },
    answer: healthy,
  }),
  route({
    ...ROW,
    path: "/ready",
    detail: {
      tags: TAGS,
      operationId: "getReady",
      summary: ROUTABLE,
      responses: ROUTABLE_RESPONSES,
    },
    answer: (_, services) => ready(services),
  }),
  route({
    ...ROW,
    path: "/readiness",
    detail: {
      tags: TAGS,
      operationId: "getReadiness",
      summary: `${ROUTABLE}: another name of /ready`,
      responses: ROUTABLE_RESPONSES,
    },
    answer: (_, services) => ready(services),
  }),
];

function healthy() {
  return { status: "healthy" };
}

/** @throws ProxyError service_unavailable */
function ready({ registry, lifecycle, mode }: Services) {
  if (!lifecycle.open) {
    throw new ProxyError("service_unavailable", "The proxy is draining.", { retryAfterS: 1 });
  }
  const missing = mode.needed.find(
    (role) => !registry.serving(null, role).some((node) => node.health.state === "healthy"),
  );
  if (missing === undefined) return { status: "ready" };
  const what = mode.needed.length > 1 ? `${missing} node` : "node";
  throw new ProxyError("service_unavailable", `No ${what} is healthy; see /nodes/status.`, {
    retryAfterS: 1,
  });
}
