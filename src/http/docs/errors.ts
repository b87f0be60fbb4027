import type { DocumentDecoration } from "elysia";
import { type Dialect, type ErrorKind, errorEnvelope, ProxyError } from "../../core/errors.ts";

export type Responses = NonNullable<DocumentDecoration["responses"]>;
type ResponseObject = Exclude<Responses[string], { readonly $ref: string }>;

const SCHEMAS = {
  openai: "#/components/schemas/Error",
  anthropic: "#/components/schemas/AnthropicError",
} as const;
const DIALECTS = ["openai", "anthropic"] as const;

interface ErrorText {
  readonly kind: ErrorKind;
  /** When it is answered. */
  readonly when: string;
  readonly message: string;
  readonly param?: string;
}

/** What the proxy itself refuses or fails with: one example each, drawn as the real ones are. */
const ERRORS: readonly ErrorText[] = [
  {
    kind: "invalid_request",
    when: "The request is not what this call takes. The message says what would be right.",
    message: 'The body is not a JSON object. Send one, such as {"model": "…"}.',
  },
  {
    kind: "invalid_api_key",
    when: "The proxy wants a key, and this is none of them.",
    message: "This needs an API key: send it as `Authorization: Bearer KEY`.",
  },
  {
    kind: "forbidden",
    when: "A browser asked on behalf of another site's page.",
    message: "Other sites' pages may not administer this proxy.",
  },
  {
    kind: "not_found",
    when: "There is nothing by that name.",
    message: "http://10.0.0.7:23333 is not registered; see /nodes/status.",
    param: "url",
  },
  {
    kind: "model_not_found",
    when: "No node serves this model. The message lists those that are served.",
    message: "The model `gpt-9` does not exist; served are: internlm2-chat-7b.",
    param: "model",
  },
  {
    kind: "method_not_allowed",
    when: "The path is known, but does not answer this method; `Allow` says which it does.",
    message: "/v1/chat/completions does not answer GET; use POST.",
  },
  {
    kind: "request_timeout",
    when: "The body came too slowly (`--body-timeout` between two pieces of it).",
    message:
      "The body came too slowly (nothing for 30 s, or on the whole fewer than 65536 bytes in that time); send it faster.",
  },
  {
    kind: "request_too_large",
    when: "The body is larger than `--max-body`.",
    message: "The body is larger than 67108864 bytes; send less, or raise --max-body.",
  },
  {
    kind: "unsupported_media_type",
    when: "The body is compressed.",
    message: "The body is compressed (gzip); send it uncompressed.",
  },
  {
    kind: "headers_too_large",
    when: "The headers together are larger than `--max-header-size`.",
    message: "The headers are larger than 65536 bytes; send less, or raise --max-header-size.",
  },
  {
    kind: "rate_limit_exceeded",
    when: "This client has as many requests under way as `--max-concurrency-per-client` allows.",
    message:
      "You have as many requests running and waiting as the proxy allows; wait for some to end.",
  },
  {
    kind: "internal_error",
    when: "The proxy failed. Its log says why.",
    message: "The proxy failed on this request; see its log.",
  },
  {
    kind: "not_implemented",
    when: "The serving strategy in force cannot do this.",
    message: "DistServe serves chat and completions only; use a Hybrid proxy.",
  },
  {
    kind: "upstream_error",
    when: "The engine failed or refused, and no other could take its place.",
    message:
      "The engine did not answer (connection refused), and no other could take the request; " +
      "try again.",
  },
  {
    kind: "service_unavailable",
    when: "Nothing can take the request now: no healthy node, a full queue, no memory for its body, or a proxy shutting down.",
    message:
      "No engine that serves the model `internlm2-chat-7b` can take requests now; " +
      "see /nodes/status, and try again.",
  },
  {
    kind: "upstream_timeout",
    when: "The engine took longer than the time limits allow.",
    message: "The engine took too long: no first byte within 60 s.",
  },
  {
    kind: "loop_detected",
    when: "The request has come through this proxy before: a node leads back to it.",
    message:
      "This request has been here before: a node of this proxy, or one behind it, leads back to it.",
  },
];

const PROXY_STATUS = {
  "Proxy-Status": {
    description: "That the proxy made this error, and why (RFC 9209)",
    schema: { type: "string" },
  },
} as const;

const RETRY_AFTER = {
  "Retry-After": {
    description: "Seconds after which trying again makes sense",
    schema: { type: "integer", minimum: 1 },
  },
} as const;

const HEADERS: Partial<Record<ErrorKind, ResponseObject["headers"]>> = {
  invalid_api_key: {
    "WWW-Authenticate": { description: "How to authenticate", schema: { type: "string" } },
  },
  method_not_allowed: {
    Allow: { description: "The methods that the path answers", schema: { type: "string" } },
  },
  rate_limit_exceeded: RETRY_AFTER,
  service_unavailable: RETRY_AFTER,
};

/** The `responses` of an operation that fails in these ways; they refer to `errorResponses`. */
export function failures(kinds: readonly ErrorKind[], dialect: Dialect = "openai"): Responses {
  return Object.fromEntries(
    kinds.map((kind) => [
      String(new ProxyError(kind, "").status),
      { $ref: `#/components/responses/${dialect}.${kind}` },
    ]),
  );
}

/** Every error in both dialects, for the document's `components`. */
export function errorResponses(): Responses {
  return Object.fromEntries(
    DIALECTS.flatMap((dialect) =>
      ERRORS.map((error) => [`${dialect}.${error.kind}`, response(error, dialect)]),
    ),
  );
}

function response({ kind, when, message, param }: ErrorText, dialect: Dialect): ResponseObject {
  const example = errorEnvelope(
    new ProxyError(kind, message, param === undefined ? {} : { param }),
    dialect,
  );
  return {
    description: when,
    headers: { ...PROXY_STATUS, ...HEADERS[kind] },
    content: { "application/json": { schema: { $ref: SCHEMAS[dialect] }, example } },
  };
}
