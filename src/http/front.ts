import { ProxyError } from "../core/errors.ts";
import { requestId } from "../core/request-id.ts";
import type { Access } from "./access.ts";
import type { BunServer } from "./bun-server.ts";
import { dialectOf, errorResponse } from "./error-response.ts";
import { notFound } from "./methods.ts";
import { pathOf, settleTarget, targetOf } from "./request-target.ts";

export interface FrontOptions {
  readonly access: Access;
  /** The value of `Allow` for a path, or null for an unknown one. */
  readonly allowOf: (path: string) => readonly string[] | null;
  readonly answer: (request: Request) => Response | Promise<Response>;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** A browser may read these of an answer beside the few it always may. */
const EXPOSED = "X-Request-Id, Retry-After";
const PREFLIGHT_MAX_AGE_S = "600";

/**
 * What every request passes before the routes: a target that everybody reads in one way, the right
 * to administer, and what browsers of other origins need. Judged on the path that the routes see.
 */
export function front({ access, allowOf, answer, random }: FrontOptions) {
  return (request: Request, server: BunServer): Response | Promise<Response> => {
    let path = "/";
    try {
      settleTarget(request);
      path = pathOf(targetOf(request));
      if (request.method === "OPTIONS") return options(request, path);
      // Who may is judged before a body is read; other origins learn nothing of the answer.
      if (isAdministration(path)) {
        assureMayAdminister(request, server, path);
        return answer(request);
      }
    } catch (error) {
      if (!(error instanceof ProxyError)) throw error;
      return errorResponse(error, dialectOf(path), requestId(request.headers, random));
    }
    return request.headers.has("origin") ? answerPage(request) : answer(request);
  };

  async function answerPage(request: Request): Promise<Response> {
    const response = await answer(request);
    allowOrigin(response.headers);
    return response;
  }

  function assureMayAdminister(request: Request, server: BunServer, path: string): void {
    if (request.method === "POST" && /^\/nodes\/add\/?$/.test(path)) {
      access.registration(request, server.requestIP(request)?.address ?? null);
    } else access.admin(request);
  }

  function options(request: Request, path: string): Response {
    const { headers } = request;
    if (headers.has("access-control-request-method") && !isAdministration(path)) {
      return preflight(headers);
    }
    const allow = allowOf(path);
    if (allow === null) throw notFound("OPTIONS", path, allow);
    return new Response(null, { status: 204, headers: { allow: allow.join(", ") } });
  }
}

function isAdministration(path: string): boolean {
  return path.startsWith("/nodes") || path.startsWith("/distserve");
}

/** Lets a page of another origin ask what it wants to: also errors are there to be read. */
function preflight(asked: Headers): Response {
  const headers = new Headers({
    "access-control-allow-methods": "GET, POST",
    "access-control-max-age": PREFLIGHT_MAX_AGE_S,
    vary: "Access-Control-Request-Headers",
  });
  allowOrigin(headers);
  const wanted = asked.get("access-control-request-headers");
  // Named one by one: a wildcard would not cover Authorization.
  if (wanted !== null) headers.set("access-control-allow-headers", wanted);
  return new Response(null, { status: 204, headers });
}

/** Any origin may read answers; none may have the browser send its credentials. */
function allowOrigin(headers: Headers): void {
  headers.set("access-control-allow-origin", "*");
  headers.set("access-control-expose-headers", EXPOSED);
}
