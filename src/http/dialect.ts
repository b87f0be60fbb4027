import type { Dialect } from "../core/errors.ts";

/** The dialect of whoever asks for `path`. Both have `/v1/models`; only Anthropic's clients name a version. */
export function dialectOf(path: string, headers: Headers): Dialect {
  if (/^\/(?:v1\/messages|anthropic)(?:[/?]|$)/.test(path)) return "anthropic";
  const isModels = /^\/v1\/models(?:[/?]|$)/.test(path);
  return isModels && headers.has("anthropic-version") ? "anthropic" : "openai";
}

/** Names the request where Anthropic's clients look for it, beside `x-request-id`. */
export function nameForAnthropic(headers: Headers, dialect: Dialect, id: string): void {
  if (dialect === "anthropic") headers.set("request-id", id);
}
