import { DISTSERVE_OPERATIONS } from "./distserve-operations.ts";
import { DOCS_OPERATIONS } from "./docs-operations.ts";
import { HEALTH_OPERATIONS } from "./health-operations.ts";
import { inferenceOperations } from "./inference-operations.ts";
import { MODEL_OPERATIONS } from "./model-operations.ts";
import { NODE_OPERATIONS } from "./node-operations.ts";
import type { Operations } from "./operation.ts";

/** Every route that is served is here: described, or hidden for a reason. */
export function operations(): Operations {
  return {
    ...inferenceOperations(),
    // OpenAPI has no way to say "any path below": the text at the top of the document does.
    "POST /v1/*": { hide: true },
    ...MODEL_OPERATIONS,
    ...NODE_OPERATIONS,
    ...DISTSERVE_OPERATIONS,
    ...HEALTH_OPERATIONS,
    ...DOCS_OPERATIONS,
  };
}
