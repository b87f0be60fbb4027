import type { Exchange, Try } from "../core/exchange.ts";
import { readTraceparent } from "../core/trace.ts";
import type { Fields } from "./line-format.ts";
import { errorOf, outcomeOf, prefillOf, statusOf, usageOf } from "./request-outcome.ts";

/** A client may call its model anything, up to the size of a body: characters shown of it. */
const MOST_MODEL = 512;

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
