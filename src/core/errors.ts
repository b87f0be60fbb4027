/**
 * Everything lmproxy itself refuses or fails with, as one closed set of kinds.
 *
 * A `ProxyError` is made where the cause is known, with the text the user will read; it is drawn
 * into the caller's dialect (OpenAI, Anthropic) in one place, `http/error-response.ts`. What an
 * engine answers is never a `ProxyError`: it passes unchanged.
 */

/** What went wrong, and with it the HTTP status and the `type` field of the OpenAI envelope. */
const KINDS = {
  invalid_request: { status: 400, type: "invalid_request_error" },
  invalid_api_key: { status: 401, type: "authentication_error" },
  forbidden: { status: 403, type: "permission_error" },
  not_found: { status: 404, type: "invalid_request_error" },
  model_not_found: { status: 404, type: "invalid_request_error" },
  method_not_allowed: { status: 405, type: "invalid_request_error" },
  request_timeout: { status: 408, type: "invalid_request_error" },
  request_too_large: { status: 413, type: "invalid_request_error" },
  unsupported_media_type: { status: 415, type: "invalid_request_error" },
  headers_too_large: { status: 431, type: "invalid_request_error" },
  rate_limit_exceeded: { status: 429, type: "rate_limit_error" },
  internal_error: { status: 500, type: "server_error" },
  not_implemented: { status: 501, type: "invalid_request_error" },
  upstream_error: { status: 502, type: "server_error" },
  service_unavailable: { status: 503, type: "server_error" },
  upstream_timeout: { status: 504, type: "server_error" },
  loop_detected: { status: 508, type: "server_error" },
} as const;

export type ErrorKind = keyof typeof KINDS;

/** The registered error types (RFC 9209 §2.3) that this proxy has a use for. */
export type ProxyErrorType =
  | "destination_not_found"
  | "destination_unavailable"
  | "destination_ip_prohibited"
  | "connection_refused"
  | "connection_terminated"
  | "connection_limit_reached"
  | "http_request_error"
  | "http_request_denied"
  | "http_response_incomplete"
  | "http_response_timeout"
  | "http_protocol_error"
  | "proxy_internal_response"
  | "proxy_loop_detected"
  | "proxy_internal_error"
  | "proxy_configuration_error"
  | "tls_certificate_error";

/** What kept a request from being sent, where the kind of the error says too little; for metrics. */
export type Rejection =
  | "queue_full"
  | "queue_timeout"
  | "client_limit"
  | "no_node"
  | "memory"
  | "files"
  | "draining"
  | "cancelled";

export interface ProxyErrorOptions {
  /** The field of the request that is at fault, as OpenAI's `param`. */
  readonly param?: string;
  /** Seconds after which trying again makes sense; sent as `Retry-After`, whole seconds, at least 1. */
  readonly retryAfterS?: number;
  /** Methods that the path does answer; sent as `Allow`. */
  readonly allow?: readonly string[];
  readonly rejection?: Rejection;
  /** What RFC 9209 calls it, where the kind of the error says too little. */
  readonly proxyErrorType?: ProxyErrorType;
  /** Further fields of the answer, beside `error`. */
  readonly beside?: Readonly<Record<string, unknown>>;
  /** What Anthropic's clients read instead of the message, where theirs is another word for it. */
  readonly anthropicMessage?: string;
  /** The same in the words that LMDeploy's clients compare with, where ours say more. */
  readonly lmdeployMessage?: string;
  /** The connection is of no more use: answer with `Connection: close`. */
  readonly close?: boolean;
  /** Sending it again would undo what was wanted: said as `X-Should-Retry: false`, as OpenAI and Anthropic do. */
  readonly isFinal?: boolean;
}

/** An expected failure with an HTTP status and a message that tells the user what to do. */
export class ProxyError extends Error {
  override readonly name = "ProxyError";
  readonly kind: ErrorKind;
  readonly options: ProxyErrorOptions;

  constructor(kind: ErrorKind, message: string, options: ProxyErrorOptions = {}) {
    super(message);
    this.kind = kind;
    this.options = options;
  }

  /** HTTP status, 400 to 508. */
  get status(): number {
    return KINDS[this.kind].status;
  }

  /** The `type` of the OpenAI envelope. */
  get type(): string {
    return KINDS[this.kind].type;
  }
}

/** The API family a client speaks; decides how an error is drawn. */
export type Dialect = "openai" | "anthropic";

/** The names Anthropic's clients know, by HTTP status; anything else is `api_error`. */
const ANTHROPIC_TYPES: Readonly<Record<number, string>> = {
  400: "invalid_request_error",
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  413: "request_too_large",
  429: "rate_limit_error",
  503: "overloaded_error",
};

/** Its fields as LMDeploy's clients read them: at the top, and the status as a number. */
export function flatError(error: ProxyError): object {
  const { lmdeployMessage, param } = error.options;
  return {
    object: "error",
    message: lmdeployMessage ?? error.message,
    type: error.type,
    code: error.status,
    param: param ?? null,
  };
}

/**
 * The error as the JSON value that clients of `dialect` expect in a body or an SSE event.
 * @param requestId Goes into Anthropic's, as `request_id`.
 */
export function errorEnvelope(error: ProxyError, dialect: Dialect, requestId?: string): object {
  if (dialect === "anthropic") {
    const type = ANTHROPIC_TYPES[error.status] ?? "api_error";
    const message = error.options.anthropicMessage ?? error.message;
    const id = requestId === undefined ? {} : { request_id: requestId };
    return { type: "error", error: { type, message }, ...id };
  }
  return {
    error: {
      message: error.message,
      type: error.type,
      code: error.kind,
      param: error.options.param ?? null,
    },
    ...error.options.beside,
  };
}

/**
 * 503: somebody who may administer the proxy took it off.
 * @param close Whether its body still comes: nobody reads the rest.
 */
export function cancelled(close = false): ProxyError {
  return new ProxyError("service_unavailable", "An administrator cancelled this request.", {
    isFinal: true,
    close,
    rejection: "cancelled",
    proxyErrorType: "proxy_internal_response",
  });
}
