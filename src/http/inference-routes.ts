import { Elysia } from "elysia";
import { ProxyError } from "../core/errors.ts";
import { type Connection, infer } from "./inference.ts";
import { INFERENCE_PATHS, isForwarded } from "./inference-paths.ts";
import { methodNotAllowed } from "./methods.ts";
import { pathOf, targetOf } from "./request-target.ts";
import type { Services } from "./services.ts";

/** A connection that is kept alive without a request is closed after this, s, as nginx does. */
export const KEEP_ALIVE_S = 75;

/** Everything that is forwarded to engines. The bodies are not parsed here: they pass as bytes. */
export function inferenceRoutes(services: Services) {
  const app = new Elysia({ name: "inference" });
  for (const path of INFERENCE_PATHS) {
    app.post(
      path,
      ({ request, server }) =>
        infer(request, targetOf(request), connectionOf(request, server), services),
      { parse: "none" },
    );
  }
  return app.post(
    "/v1/*",
    ({ request, server }) => {
      const target = targetOf(request);
      const path = pathOf(target);
      if (/^\/v1\/models(\/|$)/.test(path)) {
        throw methodNotAllowed(path, "POST", ["GET", "HEAD", "OPTIONS"]);
      }
      if (!isForwarded(path)) {
        throw new ProxyError(
          "not_found",
          `${path} is not inference and is not forwarded; call the engine itself.`,
        );
      }
      return infer(request, target, connectionOf(request, server), services);
    },
    { parse: "none", detail: { hide: true } },
  );
}

export interface BunServer {
  requestIP(request: Request): { readonly address: string } | null;
  timeout(request: Request, seconds: number): void;
}

function connectionOf(request: Request, server: BunServer | null): Connection {
  return {
    peerAddress: server?.requestIP(request)?.address ?? null,
    unlimited: () => server?.timeout(request, 0),
    limited: () => server?.timeout(request, KEEP_ALIVE_S),
  };
}
