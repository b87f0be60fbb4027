import { ProxyError } from "../core/errors.ts";
import type { RequestIds } from "../core/request-id.ts";
import { dialectOf } from "./dialect.ts";
import { errorResponse } from "./error-response.ts";
import { pathOf, settleTarget, targetOf } from "./request-target.ts";
import { METHODS } from "./routes/route.ts";
import { notFound, type RouteTable } from "./routes/table.ts";

export interface FrontOptions {
  readonly table: RouteTable;
  readonly answer: (request: Request) => Response | Promise<Response>;
  readonly ids: RequestIds;
  /** Pages of these may call; null: of any. */
  readonly origins: ReadonlySet<string> | null;
}

/** A browser may read these of an answer beside the few it always may. */
const EXPOSED = "X-Request-Id, Request-Id, Retry-After, Proxy-Status";
const PREFLIGHT_MAX_AGE_S = "600";

/**
 * What every request passes before the routes: a target that everybody reads in one way, and what
 * browsers need for pages of other origins.
 */
export function front({ table, answer, ids, origins }: FrontOptions) {
  const needsNoHost = (path: string) => table.needsNoHost(path);
  return (request: Request): Response | Promise<Response> => {
    let path = "/";
    try {
      settleTarget(request, needsNoHost);
      path = pathOf(targetOf(request));
      if (request.method === "OPTIONS") {
        const response = options(request, path);
        response.headers.set("x-request-id", ids.of(request.headers));
        return response;
      }
    } catch (error) {
      if (!(error instanceof ProxyError)) throw error;
      const { headers } = request;
      return errorResponse(error, dialectOf(path, headers), ids.of(headers));
    }
    const isPages = origins !== null || request.headers.has("origin");
    return isPages ? answerPage(request, path) : answer(request);
  };

  async function answerPage(request: Request, path: string): Promise<Response> {
    const response = await answer(request);
    // What no row is known to answer says nothing but that it is not there.
    const mayRead = table.isOpenToPages(path) ?? response.status >= 400;
    if (mayRead) allowOrigin(request.headers, response.headers);
    return response;
  }

  function options({ headers }: Request, path: string): Response {
    const mayAsk = table.isOpenToPages(path) ?? true;
    if (headers.has("access-control-request-method") && mayAsk) return preflight(headers);
    const allow = table.allow(path);
    if (allow === null) throw notFound("OPTIONS", path, table);
    return new Response(null, { status: 204, headers: { allow: allow.join(", ") } });
  }

  /** Lets a page of another origin ask what it wants to: also errors are there to be read. */
  function preflight(asked: Headers): Response {
    const headers = new Headers({
      "access-control-allow-methods": METHODS.join(", "),
      "access-control-max-age": PREFLIGHT_MAX_AGE_S,
      vary: "Access-Control-Request-Headers",
    });
    allowOrigin(asked, headers);
    const wanted = asked.get("access-control-request-headers");
    // Named one by one: a wildcard would not cover Authorization.
    if (wanted !== null) headers.set("access-control-allow-headers", wanted);
    return new Response(null, { status: 204, headers });
  }

  /** The origin that asks may read the answer, if it is one of those that may; none may have the browser send its credentials. */
  function allowOrigin(asked: Headers, headers: Headers): void {
    const origin = asked.get("origin") ?? "";
    // Also where there is none: a cache would have a page get what was answered to somebody else.
    if (origins !== null) headers.append("vary", "Origin");
    if (origins !== null && !origins.has(origin)) return;
    headers.set("access-control-allow-origin", origins === null ? "*" : origin);
    headers.set("access-control-expose-headers", EXPOSED);
  }
}
