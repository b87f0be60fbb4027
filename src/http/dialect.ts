import type { Dialect } from "../core/errors.ts";

/** The dialect of whoever asks for `path`. Both have `/v1/models`; only Anthropic's clients name a version. */
export function dialectOf(path: string, headers: Headers): Dialect {
  if (/^\/(?:v1\/messages|anthropic)(?:[/?]|$)/.test(path)) return "anthropic";
  const isModels = /^\/v1\/models(?:[/?]|$)/.test(path);
  return isModels && headers.has("anthropic-version") ? "anthropic" : "openai";
}

/** Names the request in the headers of an answer, where clients of `dialect` look for it. */
export function nameRequest(headers: Headers, dialect: Dialect, id: string): void {
  headers.set("x-request-id", id);
  if (dialect === "anthropic") headers.set("request-id", id);
}
