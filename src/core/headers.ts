import { ProxyError } from "./errors.ts";

/**
 * Headers that concern one connection only and never pass a proxy. Source: RFC 9110 §7.6.1, with
 * the older names that are still seen.
 */
const HOP_BY_HOP = [
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];

/** Set anew by whoever sends the request: by fetch, or from what the proxy knows of the client. */
const REBUILT = ["host", "content-length", "expect", "forwarded", "x-real-ip"];
/**
 * All that start so are rebuilt too, unless a trusted proxy set them: an engine has no way to tell a
 * client's word from a proxy's.
 */
const REBUILT_PREFIX = "x-forwarded-";

/** What a browser may do with an answer is the proxy's to say, not the engine's. */
const CORS = [
  "access-control-allow-origin",
  "access-control-allow-credentials",
  "access-control-expose-headers",
  "access-control-allow-methods",
  "access-control-allow-headers",
  "access-control-max-age",
];

const NOT_TO_ENGINES: ReadonlySet<string> = new Set([...HOP_BY_HOP, ...REBUILT]);
const NOT_TO_CLIENTS: ReadonlySet<string> = new Set([...HOP_BY_HOP, ...CORS]);

/** What the proxy knows of a request beside its headers. */
export interface Forwarded {
  /** Address of the socket's other end. */
  readonly peerAddress: string | null;
  /** Whether that is a trusted proxy, whose `X-Forwarded-*` are continued. */
  readonly continues: boolean;
  /** The client's headers may have so many bytes. */
  readonly maxBytes: number;
  /** What we add to `Via`. */
  readonly via: string;
  readonly proto: "http" | "https";
  /** The `Host` the client asked for. */
  readonly host: string | null;
  readonly requestId: string;
  /** Sent as `Authorization: Bearer` instead of the client's key; null for none. */
  readonly upstreamApiKey: string | null;
  /** Whether the client's own credentials are the proxy's affair and stay here. */
  readonly stripCredentials: boolean;
}

/**
 * The headers an engine gets: the client's, without those of its connection and its credentials for
 * us; changed in place.
 * @throws ProxyError headers_too_large
 */
export function requestHeaders(headers: Headers, forwarded: Forwarded): Headers {
  const { continues, peerAddress } = forwarded;
  const chain = continues ? headers.get("x-forwarded-for") : null;
  const bytes = deleteAll(headers, NOT_TO_ENGINES, continues ? null : REBUILT_PREFIX);
  if (bytes > forwarded.maxBytes) {
    throw new ProxyError(
      "headers_too_large",
      `The headers are larger than ${forwarded.maxBytes} bytes; send less, or raise --max-header-size.`,
    );
  }
  if (forwarded.stripCredentials || forwarded.upstreamApiKey !== null) {
    headers.delete("authorization");
    headers.delete("x-api-key");
  }
  if (forwarded.upstreamApiKey !== null) {
    headers.set("authorization", `Bearer ${forwarded.upstreamApiKey}`);
  }
  if (peerAddress !== null) {
    headers.set("x-forwarded-for", chain === null ? peerAddress : `${chain}, ${peerAddress}`);
  }
  if (forwarded.host !== null && !(continues && headers.has("x-forwarded-host"))) {
    headers.set("x-forwarded-host", forwarded.host);
  }
  if (!continues || !headers.has("x-forwarded-proto")) {
    headers.set("x-forwarded-proto", forwarded.proto);
  }
  const via = headers.get("via");
  headers.set("via", via === null ? forwarded.via : `${via}, ${forwarded.via}`);
  headers.set("x-request-id", forwarded.requestId);
  // Without it fetch would ask for compression that this client may not understand.
  if (!headers.has("accept-encoding")) headers.set("accept-encoding", "identity");
  return headers;
}

/** What of an engine's answer decides about its headers. */
export interface AnswerHead {
  readonly status: number;
  readonly headers: Headers;
}

/** Said when an engine is busy and does not say for how long, s. */
const RETRY_AFTER_S = "1";

/**
 * The headers a client gets: the engine's, without those of its connection; changed in place.
 * @param nodeUrl Where the engine is: a redirect to itself has to lead through the proxy again.
 */
export function answerHeaders(
  { status, headers }: AnswerHead,
  requestId: string,
  nodeUrl: string,
): Headers {
  deleteAll(headers, NOT_TO_CLIENTS);
  headers.set("x-request-id", requestId);
  if ((status === 429 || status === 503) && !headers.has("retry-after")) {
    headers.set("retry-after", RETRY_AFTER_S);
  }
  // nginx in front would gather a stream in its buffers otherwise.
  if (isEventStream(headers.get("content-type")) && !headers.has("x-accel-buffering")) {
    headers.set("x-accel-buffering", "no");
  }
  const location = headers.get("location");
  if (location !== null) headers.set("location", withoutNode(location, nodeUrl));
  return headers;
}

/** Whether an answer of this `Content-Type` is a stream of events, in whatever case that is written. */
export function isEventStream(contentType: string | null): boolean {
  return contentType !== null && /^text\/event-stream\b/i.test(contentType);
}

/** Whether a body is compressed, or coded in another way, so that nothing can be read of it as it passes. */
export function isPacked(headers: Headers): boolean {
  const coding = headers.get("content-encoding");
  return coding !== null && !/^(?:identity)?$/i.test(coding);
}

/** A URL of the node's, or a path there, as a path below the proxy; any other as it is. */
function withoutNode(location: string, nodeUrl: string): string {
  const to = URL.parse(location, location.startsWith("/") ? nodeUrl : undefined);
  const node = URL.parse(nodeUrl);
  if (to === null || node === null || to.host !== node.host) return location;
  // What wants HTTPS of us would send a client round in circles; one that has HTTPS before it often knows of none.
  if (to.protocol === "https:" && node.protocol === "http:") return location;
  const prefix = node.pathname.replace(/\/$/, "");
  const path = to.pathname.startsWith(`${prefix}/`)
    ? to.pathname.slice(prefix.length)
    : to.pathname;
  return path.replace(/^\/+/, "/") + to.search + to.hash;
}

/** A colon, a blank and the end of a line. */
const AROUND_A_HEADER_BYTES = 4;

/**
 * Deletes the headers `names`, those that begin with `prefix`, and those that `Connection` names.
 * Returns how many bytes the headers had, but for the latter.
 */
function deleteAll(
  headers: Headers,
  names: ReadonlySet<string>,
  prefix: string | null = null,
): number {
  const connection = headers.get("connection");
  if (connection !== null) {
    for (const name of connection.split(",")) {
      const token = name.trim();
      if (/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(token)) headers.delete(token);
    }
  }
  const found: string[] = [];
  let bytes = 0;
  headers.forEach((value, name) => {
    bytes += name.length + value.length + AROUND_A_HEADER_BYTES;
    if (names.has(name) || (prefix !== null && name.startsWith(prefix))) found.push(name);
  });
  for (const name of found) headers.delete(name);
  return bytes;
}

/** What an HTTP date starts with; without it, `Date.parse` would read many a number as a date. */
const WEEKDAY = /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)/;

/**
 * `Retry-After` of an answer as ms, 0 or more, or null when absent or unreadable; a date counts from
 * `wallClockMs`. Fractions of a second are not in RFC 9110 §10.2.3, but engines send them.
 */
export function retryAfterMs(headers: Headers, wallClockMs: number): number | null {
  const value = headers.get("retry-after");
  if (value === null) return null;
  if (/^\d+(\.\d+)?$/.test(value)) return Number(value) * 1_000;
  const dateMs = WEEKDAY.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(dateMs) ? null : Math.max(dateMs - wallClockMs, 0);
}
