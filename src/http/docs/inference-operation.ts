import type { DocumentDecoration } from "elysia";
import type { BodySchema, Endpoint } from "./endpoint.ts";
import { failures } from "./errors.ts";

type Parameter = NonNullable<DocumentDecoration["parameters"]>[number];

const ANTHROPIC_VERSION: Parameter = {
  name: "anthropic-version",
  in: "header",
  description: "Engines may refuse a request without it",
  schema: { type: "string" },
  example: "2023-06-01",
};

const REQUEST_ID: Parameter = {
  name: "X-Request-Id",
  in: "header",
  description: "Names the request in logs, here and at the engine; made up when left out",
  schema: { type: "string" },
};

const ANSWER_HEADERS = {
  "X-Request-Id": {
    description: "The name of the request, as sent or made up",
    schema: { type: "string" as const },
  },
};

const ENGINE_ANSWER = {
  description: "What the engine answered, unchanged, if it is something else: its own errors.",
  content: { "application/json": { schema: {} } },
};

/** What the document says of a path whose answers are the engines'. */
export function inferenceOperation(tag: string, endpoint: Endpoint): DocumentDecoration {
  const { operationId, summary, description, dialect = "openai" } = endpoint;
  const isAnthropic = dialect === "anthropic";
  return {
    operationId,
    summary,
    description,
    tags: [tag],
    ...(isAnthropic ? { security: [{ apiKey: [] }, { xApiKey: [] }] } : {}),
    parameters: isAnthropic ? [REQUEST_ID, ANTHROPIC_VERSION] : [REQUEST_ID],
    requestBody: {
      required: true,
      content: {
        "application/json": { schema: schemaOf(endpoint.request), examples: endpoint.requests },
      },
    },
    responses: {
      "200": {
        description: "The engine's answer, unchanged",
        headers: ANSWER_HEADERS,
        content: {
          "application/json": { schema: schemaOf(endpoint.answer), example: endpoint.answered },
          ...streamContent(endpoint),
        },
      },
      ...failures(
        [
          "invalid_request",
          "invalid_api_key",
          "model_not_found",
          "request_timeout",
          "request_too_large",
          "unsupported_media_type",
          "headers_too_large",
          "rate_limit_exceeded",
          "internal_error",
          "upstream_error",
          "service_unavailable",
          "upstream_timeout",
          "loop_detected",
        ],
        dialect,
      ),
      default: ENGINE_ANSWER,
    },
  };
}

function schemaOf(name: BodySchema) {
  return { $ref: `#/components/schemas/${name}` };
}

function streamContent({ streamed }: Endpoint): Record<string, object> {
  if (streamed === undefined) return {};
  const description =
    "With `stream`: server-sent events. If the engine is lost in the middle, the last event is an " +
    "error and the connection breaks.";
  return { "text/event-stream": { schema: { type: "string", description }, example: streamed } };
}
