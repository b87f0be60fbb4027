/**
 * `Proxy-Status` (RFC 9209): tells whoever sees an error that the proxy made it, and not the engine.
 * An engine's own answer passes with what it carries, also with the `Proxy-Status` of a proxy before
 * it; ours is never added to one.
 */
import type { ErrorKind, ProxyError, ProxyErrorType } from "./errors.ts";
import type { FailureKind } from "./failure.ts";

const TYPES: Readonly<Record<ErrorKind, ProxyErrorType>> = {
  invalid_request: "http_request_error",
  invalid_api_key: "http_request_denied",
  forbidden: "http_request_denied",
  not_found: "http_request_error",
  model_not_found: "destination_not_found",
  method_not_allowed: "http_request_error",
  request_timeout: "http_request_error",
  request_too_large: "http_request_error",
  unsupported_media_type: "http_request_error",
  headers_too_large: "http_request_error",
  rate_limit_exceeded: "http_request_denied",
  internal_error: "proxy_internal_error",
  not_implemented: "proxy_configuration_error",
  upstream_error: "http_protocol_error",
  service_unavailable: "destination_unavailable",
  upstream_timeout: "http_response_timeout",
  loop_detected: "proxy_loop_detected",
};

const FAILURES: Readonly<Record<FailureKind, ProxyErrorType>> = {
  refused: "connection_refused",
  unreachable: "destination_unavailable",
  untrusted: "tls_certificate_error",
  forbidden: "destination_ip_prohibited",
  ours: "proxy_internal_error",
  lost: "connection_terminated",
  broken: "http_response_incomplete",
  timeout: "http_response_timeout",
};

/** The error type of an engine that did not answer. */
export function failureType(kind: FailureKind): ProxyErrorType {
  return FAILURES[kind];
}

/** Longer details, in characters, are cut: the body has them whole. */
const MOST_DETAILS = 200;

/**
 * The header's value for an error of the proxy's own: the registered type that fits best, our kind,
 * and the message. A structured field holds ASCII only (RFC 8941 §3.3.3); what else there is in a
 * message becomes a question mark.
 */
export function proxyStatus(error: ProxyError): string {
  const type = error.options.proxyErrorType ?? TYPES[error.kind];
  const ascii = error.message.slice(0, MOST_DETAILS).replaceAll(/[^\x20-\x7e]/gu, "?");
  const details = ascii.replaceAll(/["\\]/g, "\\$&");
  return `lmproxy; error=${type}; kind=${error.kind}; details="${details}"`;
}
