import { t } from "elysia";
import { failures } from "../../src/http/docs/errors.ts";
import { route } from "../../src/http/routes/route.ts";

/** Which nodes serve a model. */
export const placementRoutes = [
  route({
    method: "POST",
    path: "/placement",
    who: "administrator",
    detail: {
      tags: ["Nodes"],
      operationId: "findPlacement",
      summary: "Show which nodes serve a model",
      responses: failures(["invalid_request", "invalid_api_key", "forbidden"]),
    },
    body: t.Object({ model: t.String() }),
    response: t.Object({ nodes: t.Array(t.String()) }),
    answer: ({ body }, { registry }) => ({
      nodes: registry.serving(body.model, "Hybrid").map(({ url }) => url),
    }),
  }),
];
