import { ProxyError } from "../../core/errors.ts";
import { CHAT_ENDPOINTS } from "../docs/chat-endpoints.ts";
import type { Endpoint } from "../docs/endpoint.ts";
import { ENGINE_ENDPOINTS } from "../docs/engine-endpoints.ts";
import { inferenceOperation } from "../docs/inference-operation.ts";
import { isForwarded } from "../inference-paths.ts";
import type { InferenceRoute } from "./route.ts";
import { methodNotAllowed, shown } from "./table.ts";

const ROW = { method: "POST", who: "client" } as const;

/** Everything that is forwarded to engines. The bodies are not parsed here: they pass as bytes. */
export const inferenceRoutes: readonly InferenceRoute[] = [
  ...rows("Chat", CHAT_ENDPOINTS),
  ...rows("Other inference", ENGINE_ENDPOINTS),
  {
    ...ROW,
    path: "/v1/*",
    // OpenAPI has no way to say "any path below": the text at the top of the document does.
    detail: { hide: true },
    assureForwarded,
  },
];

function rows(tag: string, endpoints: Readonly<Record<string, Endpoint>>): InferenceRoute[] {
  return Object.entries(endpoints).map(([path, endpoint]) => ({
    ...ROW,
    path,
    detail: inferenceOperation(tag, endpoint),
  }));
}

function assureForwarded(path: string): void {
  if (/^\/v1\/models(\/|$)/.test(path)) {
    throw methodNotAllowed(path, "POST", ["GET", "HEAD", "OPTIONS"]);
  }
  if (isForwarded(path)) return;
  throw new ProxyError(
    "not_found",
    `${shown(path)} is not inference and is not forwarded; call the engine itself.`,
  );
}
