import { ProxyError } from "../core/errors.ts";
import type { Access } from "./access.ts";
import { dialectOf, errorResponse } from "./error-response.ts";
import { type BunServer, targetOf } from "./inference-routes.ts";

export interface FrontOptions {
  readonly access: Access;
  readonly answer: (request: Request) => Response | Promise<Response>;
}

/** A browser may read these of an answer beside the few it always may. */
const EXPOSED = "X-Request-Id, Retry-After";
const PREFLIGHT_MAX_AGE_S = "600";

/**
 * What every request passes before the routes: a `Host` that makes sense, the right to administer,
 * and what browsers of other origins need. Judged on the path that the routes see.
 */
export function front(options: FrontOptions) {
  return async (request: Request, server: BunServer): Promise<Response> => {
    const origin = request.headers.get("origin");
    const response = await judge(request, server, options);
    if (origin !== null) allowOrigin(response.headers);
    return response;
  };
}

function judge(
  request: Request,
  server: BunServer,
  { access, answer }: FrontOptions,
): Response | Promise<Response> {
  // Two Host headers arrive joined by a comma, and the URL made of them cannot be parsed.
  if (request.headers.get("host")?.includes(",") === true) {
    return errorResponse(
      new ProxyError("invalid_request", "Send one Host header with one host.", { close: true }),
      "openai",
    );
  }
  const target = targetOf(request);
  if (request.method === "OPTIONS") return preflight(request);
  if (isAdministration(target)) {
    try {
      if (request.method === "POST" && /^\/nodes\/add\/?(\?|$)/.test(target)) {
        access.registration(request, server.requestIP(request)?.address ?? null);
      } else access.admin(request);
    } catch (error) {
      if (error instanceof ProxyError) return errorResponse(error, dialectOf(target));
      throw error;
    }
  }
  return answer(request);
}

function isAdministration(target: string): boolean {
  return target.startsWith("/nodes") || target.startsWith("/distserve");
}

/** A page of another origin may use inference; it may not administer: those paths say nothing. */
function preflight(request: Request): Response {
  const headers = new Headers({ allow: "GET, POST, OPTIONS" });
  if (!isAdministration(targetOf(request))) {
    headers.set("access-control-allow-methods", "GET, POST, OPTIONS");
    headers.set("access-control-max-age", PREFLIGHT_MAX_AGE_S);
    const wanted = request.headers.get("access-control-request-headers");
    // Named one by one: a wildcard would not cover Authorization.
    if (wanted !== null) headers.set("access-control-allow-headers", wanted);
    headers.set("vary", "Access-Control-Request-Headers");
  }
  return new Response(null, { status: 204, headers });
}

/** Any origin may read answers; none may have the browser send its credentials. */
function allowOrigin(headers: Headers): void {
  headers.set("access-control-allow-origin", "*");
  headers.set("access-control-expose-headers", EXPOSED);
}
