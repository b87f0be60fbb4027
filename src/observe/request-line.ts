import type { Exchange, Try } from "../core/exchange.ts";
import { readTraceparent } from "../core/trace.ts";
import type { Usage } from "../core/usage.ts";
import type { Fields, LineLevel } from "./line-format.ts";

/** A client may call its model anything, up to the size of a body: characters shown of it. */
const MOST_MODEL = 512;

/** Status of a request whose client left before it had one. Source: nginx. */
const CLIENT_LEFT = 499;

/**
 * How a request went, in one word: what its last lease says (answered, refused, unreachable,
 * forbidden, lost, broken, timeout, cancelled), `rejected` when the proxy sent it nowhere, or
 * `cancelled_by_admin`; `cancelled` is for clients that left.
 */
export function outcomeOf({ ended, tries }: Exchange): string {
  if (ended?.how === "client_gone") return "cancelled";
  if (ended?.how === "cancelled") return "cancelled_by_admin";
  if (ended?.how === "broken" || ended?.how === "shutdown") return "broken";
  return tries.at(-1)?.outcome?.kind ?? "rejected";
}

/** The HTTP status the client got, or would have got. */
export function statusOf({ status, ended }: Exchange): number {
  return status ?? (ended?.how === "client_gone" ? CLIENT_LEFT : 0);
}

/** The kind of error the proxy answered with, or broke the answer off with; null for none. */
export function errorOf({ ended }: Exchange): string | null {
  if (ended?.how === "shutdown") return "shutdown";
  return ended !== null && "error" in ended ? ended.error : null;
}

/** Why the proxy did not let it go to its end; null when it did. */
export function rejectionOf({ ended }: Exchange): string | null {
  if (ended?.how === "cancelled") return "cancelled";
  if (ended?.how !== "refused") return null;
  if (ended.reason !== undefined) return ended.reason;
  if (ended.error === "invalid_api_key" || ended.error === "forbidden") return "auth";
  return ended.error === "request_too_large" ? "too_large" : ended.error;
}

/** A level that finds what went wrong: 5xx and answers that broke off are warnings. */
export function levelOf(exchange: Exchange): LineLevel {
  const outcome = outcomeOf(exchange);
  const isBad = statusOf(exchange) >= 500 || outcome === "broken";
  // What an administrator wanted is no fault of anybody's.
  return isBad && outcome !== "cancelled_by_admin" ? "warning" : "info";
}

/** The node that computed the prompt, where another one generated the answer; else null. */
function prefillOf({ tries }: Exchange): Try | null {
  if (tries.at(-1)?.node.role !== "Decode") return null;
  return tries.findLast(({ node }) => node.role === "Prefill") ?? null;
}

/** The tokens of an answer; null where its engine does not say. */
export function usageOf(exchange: Exchange): Usage | null {
  const { usage } = exchange;
  // What a decode node got from its prefill node was in nobody's cache.
  const prefill = prefillOf(exchange)?.outcome?.usage;
  if (usage === null || prefill == null) return usage;
  return { ...usage, cachedTokens: prefill.cachedTokens };
}

/** Whole ms from the request's arrival. */
function sinceArrival({ beganAtMs }: Exchange, atMs: number | null): number | null {
  return atMs === null ? null : Math.round(atMs - beganAtMs);
}

/** An ended exchange as the fields of its line. */
export function requestFields(exchange: Exchange): Fields {
  const { id, route, model, stream, tries, admittedAtMs, firstByteAtMs, endedAtMs } = exchange;
  const last = tries.at(-1);
  const choice = exchange.choices.at(-1) ?? null;
  const [chosen, next] = choice?.best ?? [];
  const usage = usageOf(exchange);
  const trace = exchange.trace ?? readTraceparent(exchange.request.headers.get("traceparent"));
  return {
    id,
    trace_id: trace?.traceId,
    span_id: trace?.spanId,
    client: exchange.client,
    method: exchange.request.method,
    path: route,
    model: model === null ? null : model.slice(0, MOST_MODEL),
    stream,
    status: statusOf(exchange),
    outcome: outcomeOf(exchange),
    error: errorOf(exchange),
    node: last?.node.url,
    node_name: last?.node.name,
    prefill_node: prefillOf(exchange)?.node.url,
    attempts: tries.length,
    // What the last one was compared by, and with which.
    strategy: choice?.strategy,
    candidates: choice?.candidates,
    score: rounded(chosen?.score),
    next_score: rounded(next?.score),
    next_node: next === undefined ? null : shortName(next.node),
    sample_age_ms: typeof chosen?.sampleAgeMs === "number" ? Math.round(chosen.sampleAgeMs) : null,
    tried: tries.length > 1 ? tries.slice(0, -1).map(drawTry).join(" ") : null,
    queue_ms: admittedAtMs === null ? null : Math.round(exchange.queuedMs),
    first_byte_ms: sinceArrival(exchange, firstByteAtMs),
    total_ms: sinceArrival(exchange, endedAtMs),
    longest_gap_ms: exchange.pieces > 1 ? Math.round(exchange.longestGapMs) : null,
    bytes_in: exchange.bytesIn,
    bytes_out: exchange.bytesOut,
    pieces: exchange.pieces,
    prompt_tokens: usage?.promptTokens,
    output_tokens: usage?.outputTokens,
    cached_tokens: usage?.cachedTokens,
  };
}

/** To four digits that mean something. */
function rounded(score: number | null | undefined): number | null {
  return typeof score === "number" ? Number(score.toPrecision(4)) : null;
}

function shortName({ name, url }: Pick<Try["node"], "name" | "url">): string {
  return name ?? url;
}

/** By the status, where an answer was none that a client wants. */
function drawTry({ node, outcome }: Try): string {
  const isBad = outcome?.kind === "answered" && (outcome.status ?? 0) >= 400;
  return `${shortName(node)}:${isBad ? outcome.status : (outcome?.kind ?? "open")}`;
}
