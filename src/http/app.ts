import { Elysia } from "elysia";
import { ProxyError } from "../core/errors.ts";
import { dialectOf } from "./dialect.ts";
import { errorResponse, unexpectedError } from "./error-response.ts";
import { refuseUnlessFitting } from "./fitting.ts";
import { infer } from "./inference.ts";
import { letGo, readBody } from "./read-body.ts";
import { readJson } from "./read-json.ts";
import { pathOf, targetOf } from "./request-target.ts";
import type { AnsweringRoute, Route } from "./routes/route.ts";
import { methodNotAllowed, notFound, type RouteTable } from "./routes/table.ts";
import type { Services } from "./services.ts";
import { unhurried } from "./unhurried.ts";

/** Every row as a route of Elysia's, and the one place where errors become answers. */
export function createApp(routes: readonly Route[], table: RouteTable, services: Services): Elysia {
  const app = new Elysia({
    name: "lmproxy",
    // Otherwise the path is looked for behind the 11th character of the URL: a short `Host` shifts it.
    handler: { standardHostname: false },
  });
  const error = errorHandler(table, services);
  // By each route for itself, and for what no route answers: what an app has when a route is added, Elysia
  // merges into it, and that takes longer than all else about adding it.
  for (const route of routes) {
    if ("answer" in route) addAnswering(app, route, services, error);
    else {
      app.route(route.method, route.path, ({ request }) => infer(request, route, services), {
        parse: "none",
        error,
      });
    }
  }
  app.onError(error);
  return app;
}

interface Failed {
  readonly error: unknown;
  readonly code: string | number;
  readonly request: Request;
}

function errorHandler(table: RouteTable, services: Services): (failed: Failed) => Response {
  return ({ error, code, request }) => {
    const path = pathOf(targetOf(request));
    const { headers } = request;
    const id = services.ids.of(headers);
    const known = toProxyError(error) ?? toClientError(error, code, request.method, path, table);
    const shown = known ?? unexpectedError(error, services.log, { id, path });
    return errorResponse(shown, dialectOf(path, headers), id, services.as);
  };
}

/** Whoever may not call a route gets no further than `admit`, which comes before anything is read. */
function addAnswering(
  app: Elysia,
  route: AnsweringRoute,
  services: Services,
  error: (failed: Failed) => Response,
): void {
  const { method, path, who, body, query, response, refusesHead, goesOn } = route;
  const { access, adminBodyLimits, peers } = services;
  const admit = ({ request }: { readonly request: Request }) => {
    access.admit(who, request, peers.of(request));
    if (refusesHead === true && request.method === "HEAD") {
      throw methodNotAllowed(path, "HEAD", [method, "OPTIONS"]);
    }
  };
  const isOthers = (who === "administrator" || who === "engine") && goesOn !== true;
  if (services.control !== null && isOthers) {
    app.route(method, path, ({ request }) => askControl(request, services), {
      beforeHandle: admit,
      parse: "none",
      error,
    });
    return;
  }
  // Copies: Elysia writes at the top of what it checks by, and the document is made of the rows'.
  const schemas = {
    ...(body === undefined ? {} : { body: { ...body } }),
    ...(query === undefined ? {} : { query: { ...query } }),
    ...(response === undefined ? {} : { response: { 200: { ...response } } }),
  };
  app.route(
    method,
    path,
    ({ request, params, body, query, set }) => {
      const id = services.ids.of(request.headers);
      set.headers["x-request-id"] = id;
      if (dialectOf(path, request.headers) === "anthropic") set.headers["request-id"] = id;
      // What the router could not decode, it leaves out.
      if (path.includes(":") && Object.values(params).some((part: unknown) => part === null)) {
        throw new ProxyError("invalid_request", "The path cannot be decoded: it holds a stray %.");
      }
      const peerAddress = peers.of(request).address;
      return route.answer({ request, params, body, query, peerAddress }, services);
    },
    {
      ...schemas,
      beforeHandle: admit,
      error,
      parse:
        body === undefined
          ? "none"
          : async (context: { readonly request: Request }) => {
              admit(context);
              const given = await readJson(context.request, adminBodyLimits);
              refuseUnlessFitting(body, given);
              return given;
            },
    },
  );
}

/** Another process answers. */
async function askControl(request: Request, services: Services): Promise<Response> {
  const { adminBodyLimits, peers, control } = services;
  if (control === null) throw new ProxyError("internal_error", "There is nobody to ask.");
  const { socketAddress } = peers.of(request);
  const body = await readBody(request, adminBodyLimits);
  try {
    return await unhurried(request, services, () =>
      control.administer(request, body, socketAddress),
    );
  } finally {
    letGo(body, adminBodyLimits.memory);
  }
}

function toProxyError(error: unknown): ProxyError | null {
  if (error instanceof ProxyError) return error;
  return error instanceof Error && error.cause instanceof ProxyError ? error.cause : null;
}

/** What is wrong with the request by Elysia's word; null for what nobody foresaw. */
function toClientError(
  error: unknown,
  code: string | number,
  method: string,
  path: string,
  table: RouteTable,
): ProxyError | null {
  if (code === "NOT_FOUND") return notFound(method, path, table);
  if (code === "VALIDATION" || code === "PARSE") {
    return new ProxyError("invalid_request", invalidBody(error));
  }
  return null;
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
