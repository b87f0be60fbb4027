import { changesEngine } from "../../core/engine/kinds.ts";
import { ProxyError } from "../../core/errors.ts";
import { callRoutes } from "./calls.ts";
import type { InferenceRoute } from "./route.ts";

const ROW = { method: "POST", who: "client", detail: { hide: true } } as const;

/**
 * Inference that some engines have outside `/v1`: vLLM's tokens in, tokens out, its second names, what
 * SageMaker calls, SGLang's encoder. Their bodies have no common form, so the document does not draw them.
 */
export const otherInferenceRoutes: readonly InferenceRoute[] = [
  "/inference/v1/generate",
  "/classify",
  "/encode",
  "/invocations",
  "/v2/rerank",
  "/v2/embed",
].map((path) => ({ ...ROW, path }));

/**
 * Rows for the paths of `--forward`.
 * @param known paths that have a row
 * @throws ProxyError invalid_request for one that has a row, or that changes engines.
 */
export function forwardedRoutes(
  paths: readonly string[],
  known: readonly string[],
): readonly InferenceRoute[] {
  return paths.map((path) => {
    if (known.includes(path)) {
      throw new ProxyError("invalid_request", `--forward ${path}: that path is answered already`);
    }
    if (changesAnEngine(path)) {
      throw new ProxyError(
        "invalid_request",
        `--forward ${path}: that changes an engine; administrators call it by POST /nodes/call`,
      );
    }
    return { ...ROW, path };
  });
}

/** Engines have most such paths with and without `/v1`, or below a name of theirs. */
function changesAnEngine(path: string): boolean {
  const rest = path.split("/").slice(1);
  const changes = rest.some((_, at) => changesEngine(`/v1/${rest.slice(at).join("/")}`));
  return changes || callRoutes.some((row) => row.path.endsWith(`/${rest.at(-1)}`));
}
