import { ProxyError } from "../../core/errors.ts";
import { failures, type Responses } from "../docs/errors.ts";
import { ok } from "../docs/operation.ts";
import type { Services } from "../services.ts";
import { type AnsweringRoute, route } from "./route.ts";

const LIVE = "Whether the proxy is up";
const LIVE_RESPONSES = ok("Status", { status: "healthy" }, "The proxy is up");
const ROUTABLE = "Whether a request has somewhere to go";
const ROUTABLE_RESPONSES = {
  ...ok(
    "Status",
    { status: "ready", healthy_workers: 2, total_workers: 3 },
    "At least one node is healthy",
  ),
  ...failures(["service_unavailable"]),
};

/** Whether the proxy is up, and whether it has somewhere to send requests, by the names orchestrators know. */
export const healthRoutes = [
  row("/health", "getHealth", LIVE, LIVE_RESPONSES, healthy),
  row("/healthz", "getHealthz", `${LIVE}: another name of /health`, LIVE_RESPONSES, healthy),
  row("/livez", "getLivez", `${LIVE}: another name of /health`, LIVE_RESPONSES, healthy),
  row("/liveness", "getLiveness", `${LIVE}: another name of /health`, LIVE_RESPONSES, healthy),
  row("/ready", "getReady", ROUTABLE, ROUTABLE_RESPONSES, ready),
  row("/readyz", "getReadyz", `${ROUTABLE}: another name of /ready`, ROUTABLE_RESPONSES, ready),
  row(
    "/readiness",
    "getReadiness",
    `${ROUTABLE}: another name of /ready`,
    ROUTABLE_RESPONSES,
    ready,
  ),
];

function row(
  path: string,
  operationId: string,
  summary: string,
  responses: Responses,
  answer: (services: Services) => { readonly status: string },
): AnsweringRoute {
  return route({
    method: "GET",
    path,
    who: "anybody",
    needsNoHost: true,
    detail: { tags: ["Health"], operationId, summary, responses },
    answer: (_, services) => answer(services),
  });
}

function healthy() {
  return { status: "healthy" };
}

/** @throws ProxyError service_unavailable */
function ready({ registry, lifecycle, mode }: Services) {
  if (lifecycle.leaving) {
    throw new ProxyError("service_unavailable", "The proxy is shutting down.", { retryAfterS: 1 });
  }
  const missing = mode.needed.find(
    (role) => !registry.serving(null, role).some((node) => node.health.state === "healthy"),
  );
  const nodes = registry.nodes();
  if (missing === undefined) {
    const healthy = nodes.filter((node) => node.health.state === "healthy");
    return { status: "ready", healthy_workers: healthy.length, total_workers: nodes.length };
  }
  const what = mode.needed.length > 1 ? `${missing} node` : "node";
  throw new ProxyError(
    "service_unavailable",
    `No ${what} of ${nodes.length} is healthy; see /nodes/status.`,
    { retryAfterS: 1 },
  );
}
