import { Elysia } from "elysia";
import { ProxyError } from "../core/errors.ts";
import { docsRoutes } from "./docs/routes.ts";
import { dialectOf, errorResponse } from "./error-response.ts";
import { healthRoutes } from "./health-routes.ts";
import { inferenceRoutes } from "./inference-routes.ts";
import { allowTable, methodNotAllowed } from "./methods.ts";
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
      return code === "NOT_FOUND"
        ? notFound(request.method, path, allowOf(path))
        : errorResponse(toProxyError(error, code, path), dialectOf(path));
    })
    .use(inferenceRoutes(services))
    .use(modelRoutes(services))
    .use(nodeRoutes(services))
    .use(healthRoutes(services));
  app.use(docsRoutes(() => app.routes));
  const allowOf = allowTable(app.routes);
  return app;

  function toProxyError(error: unknown, code: string | number, path: string): ProxyError {
    if (error instanceof ProxyError) return error;
    if (error instanceof Error && error.cause instanceof ProxyError) return error.cause;
    if (code === "VALIDATION" || code === "PARSE") {
      return new ProxyError("invalid_request", invalidBody(error));
    }
    services.log.error("request failed unexpectedly", {
      path,
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    });
    return new ProxyError("internal_error", "The proxy failed on this request; see its log.");
  }
}

/** No route answers: an unknown path, a method that a known one does not answer, or OPTIONS. */
function notFound(method: string, path: string, allow: readonly string[] | null): Response {
  if (allow === null) {
    const shown = path.length > 200 ? `${path.slice(0, 199)}…` : path;
    const error = new ProxyError("not_found", `There is nothing at ${method} ${shown}; see /docs.`);
    return errorResponse(error, dialectOf(path));
  }
  if (method === "OPTIONS") {
    return new Response(null, { status: 204, headers: { allow: allow.join(", ") } });
  }
  return errorResponse(methodNotAllowed(path, method, allow), dialectOf(path));
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
