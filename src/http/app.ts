import { Elysia } from "elysia";
import { ProxyError } from "../core/errors.ts";
import { requestId } from "../core/request-id.ts";
import { distServeRoutes } from "./distserve-routes.ts";
import { docsRoutes } from "./docs/routes.ts";
import { dialectOf, errorResponse, unexpectedError } from "./error-response.ts";
import { healthRoutes } from "./health-routes.ts";
import { inferenceRoutes } from "./inference-routes.ts";
import { allowTable, notFound } from "./methods.ts";
import { modelRoutes } from "./model-routes.ts";
import { nodeRoutes } from "./node-routes.ts";
import { pathOf, targetOf } from "./request-target.ts";
import type { Services } from "./services.ts";

/** All routes and the one place where errors become answers. */
export function createApp(services: Services) {
  const app = new Elysia({
    name: "lmproxy",
    // Otherwise the path is looked for behind the 11th character of the URL: a short `Host` shifts it.
    handler: { standardHostname: false },
  })
    .onError(({ error, code, request }) => {
      const path = pathOf(targetOf(request));
      const id = requestId(request.headers, services.random);
      const known = toProxyError(error, code, request.method, path);
      const shown = known ?? unexpectedError(error, services.log, { id, path });
      return errorResponse(shown, dialectOf(path), id);
    })
    .use(inferenceRoutes(services))
    .use(modelRoutes(services))
    .use(nodeRoutes(services))
    .use(distServeRoutes(services))
    .use(healthRoutes(services));
  app.use(docsRoutes(() => app.routes));
  const allowOf = allowTable(app.routes);
  return app;

  /** Null for what nobody foresaw. */
  function toProxyError(
    error: unknown,
    code: string | number,
    method: string,
    path: string,
  ): ProxyError | null {
    if (error instanceof ProxyError) return error;
    if (error instanceof Error && error.cause instanceof ProxyError) return error.cause;
    if (code === "NOT_FOUND") return notFound(method, path, allowOf(path));
    if (code === "VALIDATION" || code === "PARSE") {
      return new ProxyError("invalid_request", invalidBody(error));
    }
    return null;
  }
}

/** The first thing wrong with a body that did not fit its schema. */
function invalidBody(error: unknown): string {
  if (error instanceof Error && "all" in error && Array.isArray(error.all)) {
    const [first]: unknown[] = error.all;
    if (typeof first === "object" && first !== null && "path" in first && "summary" in first) {
      return `${String(first.path) || "The body"}: ${String(first.summary)}; see /docs.`;
    }
  }
  return "The body is not what this call takes, a JSON object; see /docs.";
}
