import { failures } from "../docs/errors.ts";
import { metricsResponse } from "../metrics-response.ts";
import { route } from "./route.ts";

const EXAMPLE =
  "# HELP lmproxy_node_in_flight Open requests on a node.\n" +
  "# TYPE lmproxy_node_in_flight gauge\n" +
  'lmproxy_node_in_flight{node="http://10.0.0.7:23333"} 3\n';

/** What the proxy counts. On a port of its own (`--metrics-port`) the same is open to anybody. */
export const metricsRoutes = [
  route({
    method: "GET",
    path: "/metrics",
    who: "administrator",
    detail: {
      tags: ["Operation"],
      operationId: "getMetrics",
      summary: "Metrics of the proxy and its nodes, for Prometheus",
      description:
        "In OpenMetrics' dialect when `Accept` asks for it, else in Prometheus' text format. " +
        "`--metrics-port` serves the same to anybody, on loopback unless told otherwise.",
      responses: {
        "200": {
          description: "The page",
          content: { "text/plain": { schema: { type: "string" }, example: EXAMPLE } },
        },
        ...failures(["invalid_api_key", "forbidden", "internal_error"]),
      },
    },
    answer: ({ request }, services) => metricsResponse(request, services.metricsPage),
  }),
];
