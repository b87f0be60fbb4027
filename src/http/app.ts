import { Elysia } from "elysia";
import { ProxyError } from "../core/errors.ts";
import { docsRoutes } from "./docs/routes.ts";
import { dialectOf, errorResponse } from "./error-response.ts";
import { healthRoutes } from "./health-routes.ts";
import { inferenceRoutes } from "./inference-routes.ts";
import { modelRoutes } from "./model-routes.ts";
import { nodeRoutes } from "./node-routes.ts";
import type { Services } from "./services.ts";

/** All routes and the one place where errors become answers. */
export function createApp(services: Services) {
  const app = new Elysia({
    name: "lmproxy",
    // Otherwise the path is looked for behind the 11th character of the URL: a short `Host` shifts it.
    handler: { standardHostname: false },
  })
    .onError(({ error, code, request }) => {
      const { pathname } = new URL(request.url);
      return errorResponse(toProxyError(error, code, request, pathname), dialectOf(pathname));
    })
    .use(inferenceRoutes(services))
    .use(modelRoutes(services))
    .use(nodeRoutes(services))
    .use(healthRoutes(services));
  app.use(docsRoutes(() => app.routes));
  const methods = methodsByPath(app.routes);
  return app;

  function toProxyError(
    error: unknown,
    code: string | number,
    request: Request,
    pathname: string,
  ): ProxyError {
    if (error instanceof ProxyError) return error;
    if (code === "NOT_FOUND") return notFound(request.method, pathname, methods);
    if (code === "VALIDATION" || code === "PARSE") {
      return new ProxyError("invalid_request", invalidBody(error));
    }
    services.log.error("request failed unexpectedly", {
      path: pathname,
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    });
    return new ProxyError("internal_error", "The proxy failed on this request; see its log.");
  }
}

function methodsByPath(
  routes: readonly { readonly path: string; readonly method: string }[],
): ReadonlyMap<string, readonly string[]> {
  const methods = new Map<string, string[]>();
  for (const { path, method } of routes) {
    if (path.includes("*")) continue;
    methods.set(path, [...(methods.get(path) ?? []), method]);
  }
  return methods;
}

function notFound(
  method: string,
  pathname: string,
  methods: ReadonlyMap<string, readonly string[]>,
): ProxyError {
  const allowed = methods.get(pathname.replace(/(?<=.)\/$/, ""));
  if (allowed !== undefined && !allowed.includes(method)) {
    const allow = [...allowed, "OPTIONS"];
    return new ProxyError(
      "method_not_allowed",
      `${pathname} does not answer ${method}; use ${allowed.join(" or ")}.`,
      { allow },
    );
  }
  return new ProxyError("not_found", `There is nothing at ${method} ${pathname}; see /docs.`);
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
