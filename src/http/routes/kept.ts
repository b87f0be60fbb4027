import { isId } from "../../core/body/referred-ids.ts";
import { ProxyError } from "../../core/errors.ts";
import { failures } from "../docs/errors.ts";
import type { InferenceRoute } from "./route.ts";

const STREAMED = {
  name: "stream",
  in: "query",
  description: "The events of a response that runs in the background",
  schema: { type: "boolean" },
} as const;

/** What engines keep of OpenAI's Responses: asked of the node that answered, or of all until one has it. */
export const keptRoutes: readonly InferenceRoute[] = [
  row("GET", "", "getResponse", "Get a response that is kept", [STREAMED]),
  row("DELETE", "", "deleteResponse", "Delete a response that is kept"),
  row("POST", "/cancel", "cancelResponse", "Cancel a response that runs in the background"),
  row("GET", "/input_items", "listResponseInputItems", "List what a response was made from"),
];

function row(
  method: InferenceRoute["method"],
  below: string,
  operationId: string,
  summary: string,
  parameters: (typeof STREAMED)[] = [],
): InferenceRoute {
  return {
    method,
    path: `/v1/responses/:id${below}`,
    who: "client",
    asksFor: (path) => {
      const id = path.split("/")[3] ?? "";
      if (isId(id)) return id;
      throw new ProxyError("not_found", "No response has such an id.", { param: "id" });
    },
    detail: {
      tags: ["Chat"],
      operationId,
      summary,
      description:
        "Goes to the node that answered; where that is not known, to all, one after the other, until " +
        "one knows the response. Not every engine keeps responses.",
      parameters: [
        { name: "id", in: "path", required: true, schema: { type: "string" }, example: "resp_1" },
        ...parameters,
      ],
      responses: {
        "200": {
          description: "The engine's answer, unchanged",
          content: { "application/json": { schema: {} } },
        },
        ...failures([
          "invalid_api_key",
          "not_found",
          "rate_limit_exceeded",
          "service_unavailable",
          "upstream_error",
        ]),
        default: {
          description: "What the engine answered, unchanged: that it has no such response.",
          content: { "application/json": { schema: {} } },
        },
      },
    },
  };
}
