/**
 * An ended exchange as spans: one for the request, one for each attempt. Names are those of
 * OpenTelemetry's conventions for HTTP and for GenAI clients (`gen_ai.client.inference`), our own begin
 * with `lmproxy.`. Source: https://opentelemetry.io/docs/specs/semconv/
 */
import type { Exchange, Try } from "../core/exchange.ts";
import type { Trace } from "../core/trace.ts";
import { errorOf, outcomeOf, rejectionOf, statusOf, usageOf } from "./request-outcome.ts";

export type Attributes = Record<string, string | number | boolean>;

export interface SpanEvent {
  readonly name: string;
  /** Monotonic, ms. */
  readonly atMs: number;
  readonly attributes: Attributes;
}

export interface SpanRecord {
  readonly name: string;
  readonly kind: "server" | "client";
  readonly spanId: string;
  readonly parentSpanId: string | null;
  /** Whether the parent is of another process. */
  readonly isParentRemote: boolean;
  /** Monotonic, ms. */
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Attributes;
  readonly events: readonly SpanEvent[];
  /** What went wrong; null when nothing did. */
  readonly error: string | null;
}

/** Of what clients and engines say, characters. */
const LONGEST_TEXT = 512;

/** What is asked of a model, in GenAI's words, by the path it was asked at. */
const OPERATIONS: Readonly<Record<string, string>> = {
  "/v1/chat/completions": "chat",
  "/v1/messages": "chat",
  "/v1/responses": "chat",
  "/v1/completions": "text_completion",
  "/generate": "text_completion",
  "/v1/embeddings": "embeddings",
};

export function spansOf(exchange: Exchange, trace: Trace): SpanRecord[] {
  const endMs = exchange.endedAtMs ?? exchange.beganAtMs;
  const attempts = exchange.tries.map((one, at) => attemptSpan(exchange, trace, one, at, endMs));
  return [requestSpan(exchange, trace, endMs), ...attempts];
}

function requestSpan(exchange: Exchange, trace: Trace, endMs: number): SpanRecord {
  const { request, route, client, beganAtMs } = exchange;
  const status = statusOf(exchange);
  const outcome = outcomeOf(exchange);
  const isFailed = status >= 500 || outcome === "broken";
  const error = errorOf(exchange) ?? String(status);
  return {
    name: `${request.method} ${route}`,
    kind: "server",
    spanId: trace.spanId,
    parentSpanId: trace.parent?.spanId ?? null,
    isParentRemote: true,
    startMs: beganAtMs,
    endMs,
    attributes: known({
      "http.request.method": request.method,
      "http.route": route,
      "url.path": URL.parse(request.url)?.pathname.slice(0, LONGEST_TEXT),
      "url.scheme": URL.parse(request.url)?.protocol.slice(0, -1),
      "http.response.status_code": status,
      "client.address": client?.startsWith("key:") ? null : client,
      "error.type": isFailed ? error : null,
      "gen_ai.request.model": exchange.model?.slice(0, LONGEST_TEXT),
      "lmproxy.client": client,
      "lmproxy.request_id": exchange.id,
      "lmproxy.outcome": outcome,
      "lmproxy.rejection": rejectionOf(exchange),
      "lmproxy.attempts": exchange.tries.length,
      "lmproxy.bytes_in": exchange.bytesIn,
      "lmproxy.bytes_out": exchange.bytesOut,
    }),
    events: eventsOf(exchange),
    error: isFailed ? error : null,
  };
}

function eventsOf(exchange: Exchange): SpanEvent[] {
  const { readAtMs, admittedAtMs, firstByteAtMs, tries, choices } = exchange;
  const events: SpanEvent[] = [];
  const add = (name: string, atMs: number | null, attributes: Attributes = {}) => {
    if (atMs !== null) events.push({ name, atMs, attributes });
  };
  add("lmproxy.body_read", readAtMs);
  add("lmproxy.admitted", admittedAtMs);
  tries.forEach(({ node, startedAtMs }, at) => {
    const choice = choices[at];
    const [chosen, next] = choice?.best ?? [];
    const chosenBy = known({
      "lmproxy.node": node.url,
      "lmproxy.strategy": choice?.strategy,
      "lmproxy.candidates": choice?.candidates,
      "lmproxy.score": chosen?.score,
      "lmproxy.next_node": next?.node.url,
      "lmproxy.next_score": next?.score,
    });
    add("lmproxy.node_chosen", startedAtMs, chosenBy);
  });
  add("lmproxy.first_byte", firstByteAtMs);
  return events.sort((a, b) => a.atMs - b.atMs);
}

function attemptSpan(
  exchange: Exchange,
  trace: Trace,
  one: Try,
  at: number,
  exchangeEndMs: number,
): SpanRecord {
  const { node, outcome, startedAtMs, firstByteAtMs, endedAtMs } = one;
  const { model, route } = exchange;
  const stream = exchange.stream && node.role !== "Prefill";
  const operation = OPERATIONS[route];
  const url = URL.parse(node.url);
  const isLast = at === exchange.tries.length - 1;
  const usage = isLast ? usageOf(exchange) : outcome?.usage;
  const asked = model?.slice(0, LONGEST_TEXT) ?? "";
  const error = errorOfTry(outcome);
  const firstS = firstByteAtMs === null ? null : (firstByteAtMs - startedAtMs) / 1_000;
  return {
    name: operation === undefined ? exchange.request.method : `${operation} ${asked}`.trim(),
    kind: "client",
    spanId: trace.attempts[at] ?? "",
    parentSpanId: trace.spanId,
    isParentRemote: false,
    startMs: startedAtMs,
    endMs: endedAtMs ?? exchangeEndMs,
    attributes: known({
      "gen_ai.operation.name": operation,
      // Required, and of no list: which engine it is.
      "gen_ai.provider.name": operation === undefined ? null : (node.engine ?? "unknown"),
      "gen_ai.request.model": asked === "" ? null : asked,
      "gen_ai.request.stream": stream,
      "gen_ai.response.time_to_first_chunk": stream ? firstS : null,
      "gen_ai.usage.input_tokens": usage?.promptTokens,
      "gen_ai.usage.output_tokens": usage?.outputTokens,
      "gen_ai.usage.cache_read.input_tokens": usage?.cachedTokens,
      "server.address": url?.hostname.replace(/^\[|\]$/g, ""),
      "server.port": Number(url?.port || (url?.protocol === "https:" ? 443 : 80)),
      "http.request.method": exchange.request.method,
      "http.request.resend_count": at === 0 ? null : at,
      "http.response.status_code": outcome?.status,
      "error.type": error,
      "lmproxy.node": node.url,
      "lmproxy.node_name": node.name,
      "lmproxy.role": node.role,
      "lmproxy.outcome": outcome?.kind ?? "open",
    }),
    events: [],
    error: error === null ? null : (outcome?.detail?.slice(0, LONGEST_TEXT) ?? error),
  };
}

/** Of an attempt, HTTP's 4xx are errors too; what its client left is none. */
function errorOfTry(outcome: Try["outcome"]): string | null {
  if (outcome === null || outcome.kind === "cancelled") return null;
  if (outcome.kind !== "answered") return outcome.kind;
  return (outcome.status ?? 0) >= 400 ? String(outcome.status) : null;
}

/** Without what is not known. */
function known(
  given: Readonly<Record<string, string | number | boolean | null | undefined>>,
): Attributes {
  const attributes: Attributes = {};
  for (const [name, value] of Object.entries(given)) {
    if (value !== null && value !== undefined) attributes[name] = value;
  }
  return attributes;
}
