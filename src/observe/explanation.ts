/** What is told of one request: how it went, and why its nodes were chosen. */
import type { Explained, Weighed } from "../core/choice.ts";
import type { Exchange, Try } from "../core/exchange.ts";
import { loggedNode } from "../core/pool/node.ts";
import type { Usage } from "../core/usage.ts";
import { type Phase, phaseOf } from "./open-requests.ts";
import { errorOf, outcomeOf, statusOf, usageOf } from "./request-outcome.ts";

/** Of what clients and engines say, characters. */
const LONGEST_TEXT = 512;

export interface TryAccount {
  readonly url: string;
  readonly name: string | null;
  readonly sentMs: number;
  readonly firstByteMs: number | null;
  readonly outcome: string | null;
  readonly status: number | null;
  readonly detail: string | null;
  readonly choice: Explained | null;
}

/**
 * What there is to say of a request, as figures and texts that were there already: of the many accounts
 * that are kept somebody reads few, and those are drawn then. Holds no node, no lease and no body.
 * Times in ms from its arrival.
 */
export interface Account {
  readonly id: string;
  /** Null when it has ended. */
  readonly phase: Phase | null;
  /** Wall clock, ms since 1970. */
  readonly beganAtMs: number;
  readonly client: string | null;
  readonly method: string;
  readonly path: string;
  readonly model: string | null;
  readonly stream: boolean;
  readonly status: number | null;
  readonly outcome: string | null;
  readonly error: string | null;
  readonly admittedMs: number | null;
  readonly firstByteMs: number | null;
  readonly totalMs: number;
  readonly longestGapMs: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly pieces: number;
  readonly usage: Usage | null;
  readonly tries: readonly TryAccount[];
}

/** The account of a request, running or ended. @param nowMs Monotonic. */
export function accountOf(exchange: Exchange, nowMs: number, wallMs: number): Account {
  const { beganAtMs, admittedAtMs, firstByteAtMs } = exchange;
  const isOver = exchange.ended !== null;
  return {
    id: exchange.id,
    phase: isOver ? null : phaseOf(exchange),
    beganAtMs: wallMs - (nowMs - beganAtMs),
    client: exchange.client,
    method: exchange.request.method,
    path: exchange.route,
    model: exchange.model,
    stream: exchange.stream,
    status: isOver ? statusOf(exchange) : exchange.status,
    outcome: isOver ? outcomeOf(exchange) : null,
    error: errorOf(exchange),
    admittedMs: admittedAtMs === null ? null : admittedAtMs - beganAtMs,
    firstByteMs: firstByteAtMs === null ? null : firstByteAtMs - beganAtMs,
    totalMs: (exchange.endedAtMs ?? nowMs) - beganAtMs,
    longestGapMs: exchange.longestGapMs,
    bytesIn: exchange.bytesIn,
    bytesOut: exchange.bytesOut,
    pieces: exchange.pieces,
    usage: usageOf(exchange),
    tries: triesOf(exchange),
  };
}

function triesOf({ tries, choices, beganAtMs }: Exchange): TryAccount[] {
  const accounts: TryAccount[] = [];
  for (const one of tries) {
    accounts.push(tryAccount(one, choices[accounts.length] ?? null, beganAtMs));
  }
  return accounts;
}

function tryAccount(
  { node, startedAtMs, firstByteAtMs, outcome }: Try,
  choice: Explained | null,
  beganAtMs: number,
): TryAccount {
  return {
    url: node.url,
    name: node.name,
    sentMs: startedAtMs - beganAtMs,
    firstByteMs: firstByteAtMs === null ? null : firstByteAtMs - beganAtMs,
    outcome: outcome?.kind ?? null,
    status: outcome?.status ?? null,
    detail: outcome?.detail ?? null,
    choice,
  };
}

/** An account as the API tells it. */
export function drawn(account: Account) {
  const { usage } = account;
  return {
    id: account.id,
    phase: account.phase,
    began_at: new Date(account.beganAtMs).toISOString(),
    client: account.client,
    method: account.method,
    path: account.path,
    model: account.model?.slice(0, LONGEST_TEXT) ?? null,
    stream: account.stream,
    status: account.status,
    outcome: account.outcome,
    error: account.error,
    admitted_ms: whole(account.admittedMs),
    first_byte_ms: whole(account.firstByteMs),
    total_ms: whole(account.totalMs),
    longest_gap_ms: whole(account.longestGapMs),
    bytes_in: account.bytesIn,
    bytes_out: account.bytesOut,
    pieces: account.pieces,
    prompt_tokens: usage?.promptTokens ?? null,
    output_tokens: usage?.outputTokens ?? null,
    cached_tokens: usage?.cachedTokens ?? null,
    attempts: account.tries.map((one) => ({
      ...loggedNode(one),
      sent_ms: whole(one.sentMs),
      first_byte_ms: whole(one.firstByteMs),
      outcome: one.outcome,
      status: one.status,
      detail: one.detail?.slice(0, LONGEST_TEXT) ?? null,
      choice: choiceOf(one.choice),
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
    score: finite(score),
    sample_age_ms: whole(sampleAgeMs),
    seen: Object.fromEntries(
      Object.entries(seen).map(([name, value]) => [inSnakeCase(name), finite(value)]),
    ),
  };
}

function whole(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms);
}

/** As JSON would have it. */
function finite(figure: number | null): number | null {
  return Number.isFinite(figure) ? figure : null;
}

function inSnakeCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
