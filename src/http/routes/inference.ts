import { ProxyError } from "../../core/errors.ts";
import { CHAT_ENDPOINTS } from "../docs/chat-endpoints.ts";
import type { Endpoint } from "../docs/endpoint.ts";
import { ENGINE_ENDPOINTS } from "../docs/engine-endpoints.ts";
import { inferenceOperation } from "../docs/inference-operation.ts";
import { isForwarded } from "../inference-paths.ts";
import type { InferenceRoute } from "./route.ts";
import { methodNotAllowed, nearestPath, shown } from "./table.ts";

const ROW = { method: "POST", who: "client" } as const;
const KNOWN = [...Object.keys(CHAT_ENDPOINTS), ...Object.keys(ENGINE_ENDPOINTS)];

/** Everything that is forwarded to engines. The bodies are not parsed here: they pass as bytes. */
export const inferenceRoutes: readonly InferenceRoute[] = [
  ...rows("Chat", CHAT_ENDPOINTS),
  ...rows("Other inference", ENGINE_ENDPOINTS),
  ...["/v1/messages", "/v1/messages/count_tokens"].map(underAnthropic),
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
    // Made when the document is asked for: it is long, and a start need not wait for it.
    get detail() {
      return inferenceOperation(tag, endpoint);
    },
  }));
}

/** For clients whose base URL ends in `/anthropic`, where LMDeploy has its list of models. */
function underAnthropic(path: string): InferenceRoute {
  return { ...ROW, path: `/anthropic${path}`, sendsTo: path, detail: { hide: true } };
}

function assureForwarded(path: string): void {
  if (/^\/v1\/models(\/|$)/.test(path)) {
    throw methodNotAllowed(path, "POST", ["GET", "HEAD", "OPTIONS"]);
  }
  const nearest = nearestPath(path, KNOWN);
  if (nearest !== null) {
    throw new ProxyError(
      "not_found",
      `There is nothing at POST ${shown(path)}; did you mean ${nearest}?`,
    );
  }
  if (isForwarded(path)) return;
  throw new ProxyError(
    "not_found",
    `${shown(path)} is not inference and is not forwarded; POST /nodes/call calls it at engines.`,
  );
}
