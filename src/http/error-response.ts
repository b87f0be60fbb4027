import { type Dialect, errorEnvelope, type ProxyError } from "../core/errors.ts";

/** The dialect of whoever asks for `path`. */
export function dialectOf(path: string): Dialect {
  return /^\/(v1\/messages|anthropic)([/?]|$)/.test(path) ? "anthropic" : "openai";
}

/** Draws an error as the answer that clients of `dialect` understand: the one place that does. */
export function errorResponse(error: ProxyError, dialect: Dialect): Response {
  const { retryAfterS, allow, close } = error.options;
  const headers = new Headers({ "content-type": "application/json" });
  if (retryAfterS !== undefined)
    headers.set("retry-after", String(Math.max(1, Math.ceil(retryAfterS))));
  if (allow !== undefined) headers.set("allow", allow.join(", "));
  if (close === true) headers.set("connection", "close");
  if (error.status === 401) headers.set("www-authenticate", "Bearer");
  return new Response(JSON.stringify(errorEnvelope(error, dialect)), {
    status: error.status,
    headers,
  });
}
