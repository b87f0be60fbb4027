import type { Role } from "../../core/engine/roles.ts";
import { ProxyError } from "../../core/errors.ts";
import type { Node } from "../../core/pool/node.ts";
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
  const nodes = registry.nodes();
  const counts = { healthy_workers: healthyAmong(nodes), total_workers: nodes.length };
  const beside = { status: "not_ready", ...counts };
  if (lifecycle.leaving) {
    const message = "The proxy is shutting down.";
    throw new ProxyError("service_unavailable", message, { retryAfterS: 1, beside });
  }
  const missing = mode.needed.find((role) => healthyAmong(registry.serving(null, role)) === 0);
  if (missing === undefined) {
    return { status: "ready", ...counts, ...(mode.disaggregated === null ? {} : byRole(registry)) };
  }
  const what = mode.needed.length > 1 ? `${missing} node` : "node";
  throw new ProxyError(
    "service_unavailable",
    `No ${what} of ${nodes.length} is healthy; see /nodes/status.`,
    { retryAfterS: 1, beside },
  );
}

function healthyAmong(nodes: readonly Node[]): number {
  return nodes.filter((node) => node.health.state === "healthy").length;
}

/** As other routers count prefill and decode. */
function byRole(registry: Services["registry"]) {
  const count = (role: Role) => {
    const nodes = registry.serving(null, role);
    return { healthy: healthyAmong(nodes), total: nodes.length };
  };
  return { prefill: count("Prefill"), decode: count("Decode") };
}
