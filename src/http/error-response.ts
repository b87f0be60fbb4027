import { type Dialect, errorEnvelope, flatError, ProxyError } from "../core/errors.ts";
import { proxyStatus } from "../core/proxy-status.ts";
import type { EventLog } from "../observe/log.ts";
import { nameForAnthropic } from "./dialect.ts";

/**
 * Draws an error as the answer that clients of `dialect` understand: the one place that does.
 * @param id The request's, for its headers, and for Anthropic's envelope.
 * @param as In whose place the proxy stands: LMDeploy's clients find its fields beside OpenAI's `error`.
 */
export function errorResponse(
  error: ProxyError,
  dialect: Dialect,
  id: string,
  as: string | null = null,
): Response {
  const { retryAfterS, allow, close, isFinal } = error.options;
  const headers = new Headers({
    "content-type": "application/json",
    "x-request-id": id,
    "proxy-status": proxyStatus(error),
  });
  nameForAnthropic(headers, dialect, id);
  if (retryAfterS !== undefined)
    headers.set("retry-after", String(Math.max(1, Math.ceil(retryAfterS))));
  if (allow !== undefined) headers.set("allow", allow.join(", "));
  if (close === true) headers.set("connection", "close");
  if (isFinal === true) headers.set("x-should-retry", "false");
  if (error.status === 401) headers.set("www-authenticate", "Bearer");
  const beside = as === "lmdeploy" && dialect === "openai" ? flatError(error) : {};
  return new Response(JSON.stringify({ ...errorEnvelope(error, dialect, id), ...beside }), {
    status: error.status,
    headers,
  });
}

/** What nobody foresaw: logged with all there is to know, and not shown to clients. */
export function unexpectedError(
  error: unknown,
  log: EventLog,
  request: { readonly id: string; readonly path: string },
): ProxyError {
  log.error("request failed unexpectedly", {
    ...request,
    error: error instanceof Error ? (error.stack ?? error.message) : String(error),
  });
  return new ProxyError("internal_error", "The proxy failed on this request; see its log.");
}
