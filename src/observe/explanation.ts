/** What is told of one request: how it went, and why its nodes were chosen. */
import type { Explained, Weighed } from "../core/choice.ts";
import type { Exchange } from "../core/exchange.ts";
import { loggedNode } from "../core/pool/node.ts";
import { phaseOf } from "./open-requests.ts";
import { errorOf, outcomeOf, statusOf, usageOf } from "./request-line.ts";

/** Of what clients and engines say, characters. */
const LONGEST_TEXT = 512;

/** Everything there is to say of a request, to be made JSON, and read by `told`. Times in ms from its arrival. @param nowMs Monotonic. */
export function explanationOf(exchange: Exchange, nowMs: number, wallMs: number) {
  const { beganAtMs, tries, choices } = exchange;
  const usage = usageOf(exchange);
  const isOver = exchange.ended !== null;
  const since = (atMs: number | null) => (atMs === null ? null : Math.round(atMs - beganAtMs));
  return {
    id: exchange.id,
    phase: isOver ? null : phaseOf(exchange),
    began_at: new Date(wallMs - (nowMs - beganAtMs)).toISOString(),
    client: exchange.client,
    method: exchange.request.method,
    path: exchange.route,
    model: exchange.model?.slice(0, LONGEST_TEXT) ?? null,
    stream: exchange.stream,
    status: isOver ? statusOf(exchange) : exchange.status,
    outcome: isOver ? outcomeOf(exchange) : null,
    error: errorOf(exchange),
    admitted_ms: since(exchange.admittedAtMs),
    first_byte_ms: since(exchange.firstByteAtMs),
    total_ms: since(exchange.endedAtMs ?? nowMs),
    longest_gap_ms: Math.round(exchange.longestGapMs),
    bytes_in: exchange.bytesIn,
    bytes_out: exchange.bytesOut,
    pieces: exchange.pieces,
    prompt_tokens: usage?.promptTokens ?? null,
    output_tokens: usage?.outputTokens ?? null,
    cached_tokens: usage?.cachedTokens ?? null,
    attempts: tries.map(({ node, startedAtMs, firstByteAtMs, outcome }, at) => ({
      ...loggedNode(node),
      sent_ms: since(startedAtMs),
      first_byte_ms: since(firstByteAtMs),
      outcome: outcome?.kind ?? null,
      status: outcome?.status ?? null,
      detail: outcome?.detail?.slice(0, LONGEST_TEXT) ?? null,
      choice: choiceOf(choices[at] ?? null),
    })),
  };
}

function choiceOf(choice: Explained | null) {
  if (choice === null) return null;
  const { why, strategy, candidates, lastResort, best } = choice;
  return { why, strategy, candidates, last_resort: lastResort, best: best.map(weighedOf) };
}

function weighedOf({ node, score, sampleAgeMs, seen }: Weighed) {
  return {
    ...loggedNode(node),
    score,
    sample_age_ms: sampleAgeMs === null ? null : Math.round(sampleAgeMs),
    seen,
  };
}

/**
 * An explanation from its JSON, with all names in the API's spelling: of the many figures that one is
 * made for, somebody looks at few.
 */
export function told(text: string): unknown {
  return JSON.parse(text, (key, value: unknown) => (key === "seen" ? inSnakeCase(value) : value));
}

function inSnakeCase(seen: unknown): unknown {
  if (typeof seen !== "object" || seen === null) return seen;
  const snake = (name: string) => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return Object.fromEntries(Object.entries(seen).map(([name, value]) => [snake(name), value]));
}
