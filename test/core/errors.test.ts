import { describe, expect, test } from "bun:test";
import { type ErrorKind, errorEnvelope, ProxyError } from "../../src/core/errors.ts";

const KINDS: [kind: ErrorKind, status: number, openai: string, anthropic: string][] = [
  ["invalid_request", 400, "invalid_request_error", "invalid_request_error"],
  ["invalid_api_key", 401, "authentication_error", "authentication_error"],
  ["forbidden", 403, "permission_error", "permission_error"],
  ["not_found", 404, "invalid_request_error", "not_found_error"],
  ["model_not_found", 404, "invalid_request_error", "not_found_error"],
  ["method_not_allowed", 405, "invalid_request_error", "api_error"],
  ["request_timeout", 408, "invalid_request_error", "api_error"],
  ["request_too_large", 413, "invalid_request_error", "request_too_large"],
  ["unsupported_media_type", 415, "invalid_request_error", "api_error"],
  ["headers_too_large", 431, "invalid_request_error", "api_error"],
  ["rate_limit_exceeded", 429, "rate_limit_error", "rate_limit_error"],
  ["internal_error", 500, "server_error", "api_error"],
  ["not_implemented", 501, "invalid_request_error", "api_error"],
  ["upstream_error", 502, "server_error", "api_error"],
  ["service_unavailable", 503, "server_error", "overloaded_error"],
  ["upstream_timeout", 504, "server_error", "api_error"],
  ["loop_detected", 508, "server_error", "api_error"],
];

describe.each(KINDS)("%s", (kind, status, openai, anthropic) => {
  const error = new ProxyError(kind, "Do this.", { param: "model" });

  test("has one status", () => {
    expect(error.status).toBe(status);
    expect(error).toBeInstanceOf(Error);
  });

  test("is drawn as OpenAI's clients know it", () => {
    expect(errorEnvelope(error, "openai")).toEqual({
      error: { message: "Do this.", type: openai, code: kind, param: "model" },
    });
  });

  test("is drawn as Anthropic's clients know it", () => {
    expect(errorEnvelope(error, "anthropic")).toEqual({
      type: "error",
      error: { type: anthropic, message: "Do this." },
    });
  });
});

test("OpenAI's param is null when no field is at fault", () => {
  expect(errorEnvelope(new ProxyError("not_found", "x"), "openai")).toMatchObject({
    error: { param: null },
  });
});
