import { ProxyError } from "../core/errors.ts";
import type { Access } from "./access.ts";
import { dialectOf, errorResponse } from "./error-response.ts";
import type { BunServer } from "./inference-routes.ts";
import { pathOf, settleTarget, targetOf } from "./request-target.ts";

export interface FrontOptions {
  readonly access: Access;
  readonly answer: (request: Request) => Response | Promise<Response>;
}

/** A browser may read these of an answer beside the few it always may. */
const EXPOSED = "X-Request-Id, Retry-After";
const PREFLIGHT_MAX_AGE_S = "600";

/**
 * What every request passes before the routes: a target that everybody reads in one way, the right
 * to administer, and what browsers of other origins need. Judged on the path that the routes see.
 */
export function front({ access, answer }: FrontOptions) {
  return async (request: Request, server: BunServer): Promise<Response> => {
    try {
      settleTarget(request);
    } catch (error) {
      return refusal(error, "/");
    }
    const path = pathOf(targetOf(request));
    if (isAdministration(path)) return await administer(request, server, path);
    if (request.headers.get("origin") === null) return await answer(request);
    if (isPreflight(request)) return preflight(request);
    const response = await answer(request);
    allowOrigin(response.headers);
    return response;
  };

  /** Who may is judged before a body is read; other sites' pages learn nothing of the answer. */
  function administer(
    request: Request,
    server: BunServer,
    path: string,
  ): Response | Promise<Response> {
    if (request.method === "OPTIONS") return answer(request);
    try {
      if (request.method === "POST" && /^\/nodes\/add\/?$/.test(path)) {
        access.registration(request, server.requestIP(request)?.address ?? null);
      } else access.admin(request);
    } catch (error) {
      return refusal(error, path);
    }
    return answer(request);
  }
}

function refusal(error: unknown, path: string): Response {
  if (error instanceof ProxyError) return errorResponse(error, dialectOf(path));
  throw error;
}

function isAdministration(path: string): boolean {
  return path.startsWith("/nodes") || path.startsWith("/distserve");
}

function isPreflight({ method, headers }: Request): boolean {
  return method === "OPTIONS" && headers.has("access-control-request-method");
}

/** Lets a page of another origin ask what it wants to: also errors are there to be read. */
function preflight(request: Request): Response {
  const headers = new Headers({
    "access-control-allow-methods": "GET, POST",
    "access-control-max-age": PREFLIGHT_MAX_AGE_S,
    vary: "Access-Control-Request-Headers",
  });
  allowOrigin(headers);
  const wanted = request.headers.get("access-control-request-headers");
  // Named one by one: a wildcard would not cover Authorization.
  if (wanted !== null) headers.set("access-control-allow-headers", wanted);
  return new Response(null, { status: 204, headers });
}

/** Any origin may read answers; none may have the browser send its credentials. */
function allowOrigin(headers: Headers): void {
  headers.set("access-control-allow-origin", "*");
  headers.set("access-control-expose-headers", EXPOSED);
}
