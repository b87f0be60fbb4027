import { Elysia } from "elysia";
import { ProxyError } from "../core/errors.ts";
import { infer } from "./inference.ts";
import { INFERENCE_PATHS, isForwarded } from "./inference-paths.ts";
import { methodNotAllowed } from "./methods.ts";
import { pathOf, targetOf } from "./request-target.ts";
import type { Services } from "./services.ts";

/** Everything that is forwarded to engines. The bodies are not parsed here: they pass as bytes. */
export function inferenceRoutes(services: Services) {
  const app = new Elysia({ name: "inference" });
  for (const path of INFERENCE_PATHS) {
    app.post(path, ({ request }) => infer(request, targetOf(request), services), {
      parse: "none",
    });
  }
  return app.post(
    "/v1/*",
    ({ request }) => {
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
      return infer(request, target, services);
    },
    { parse: "none", detail: { hide: true } },
  );
}
