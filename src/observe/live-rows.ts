/** The tables of the live page as they are now. */
import type { Role } from "../core/engine/roles.ts";
import type { Exchange, Exchanges } from "../core/exchange.ts";
import type { Node } from "../core/pool/node.ts";
import type { Registry } from "../core/pool/registry.ts";
import { type Cell, NODE_FIELDS } from "./live-frame.ts";
import type { NodeFigures } from "./node-figures.ts";
import { phaseOf } from "./open-requests.ts";
import { errorOf, outcomeOf, statusOf } from "./request-outcome.ts";

/** Of what clients and engines say, characters. */
const LONGEST_TEXT = 300;
const LONGEST_NAME = 120;
/** Names of a node's models that are told. */
const MOST_NAMES = 3;
/** Requests and models that are told. */
export const MOST_REQUESTS = 20;
const MOST_MODELS = 100;
/** A node that has requests and sends nothing for so long, and so many usual first bytes, is silent. */
const SILENT_MS = 10_000;
const SILENT_TIMES = 10;
/** An answer whose last byte is younger flows. */
const FLOWS_MS = 2_000;

/** What is known of a node elsewhere. */
export interface Beside {
  readonly sinceMs: number;
  readonly figures: NodeFigures | null;
  /** When its oldest open request was sent. */
  readonly oldestMs: number | null;
  readonly share: number;
  /** Most that it had in flight lately: gauges are some seconds old. */
  readonly mostInFlight: number;
  readonly pairs: number;
  readonly openSessions: number;
}

/** Places of the cells of a node that are told at once. */
export const URGENT = (
  ["url", "name", "role", "state", "sinceMs", "reason", "silentS"] as const
).map((field) => NODE_FIELDS.indexOf(field));

/** @param freshMs A sample of this age or younger is fresh. */
export function nodeCells(node: Node, nowMs: number, freshMs: number, beside: Beside): Cell[] {
  const { sample } = node.cache;
  const { figures, oldestMs } = beside;
  const ageMs = node.cache.ageMs(nowMs);
  return [
    node.url,
    node.name,
    node.role,
    node.engine,
    someOf(node.models),
    node.health.state,
    Math.round(beside.sinceMs),
    (node.lastError ?? node.noList ?? node.noUsage)?.slice(0, LONGEST_TEXT) ?? null,
    node.inFlight,
    inS(oldestMs),
    inS(silentMs(node, oldestMs, nowMs, figures)),
    digits(sample?.cacheUsage, 100),
    sample?.running ?? null,
    sample?.waiting ?? null,
    Math.max((sample?.running ?? 0) + (sample?.waiting ?? 0) - beside.mostInFlight, 0),
    ageMs === null ? null : ageMs <= freshMs ? 0 : Math.round(nowMs - ageMs),
    inMs(figures?.first_byte_p50_s),
    preferred(figures?.first_byte_ratio),
    inMs(figures?.piece_p50_s),
    preferred(figures?.piece_ratio),
    figures?.errors_5m ?? 0,
    beside.share,
    Math.round(100 * node.health.warm(nowMs)),
    beside.pairs,
    beside.openSessions,
  ];
}

/** Since when it has sent no piece of any answer that it owes, once that is longer than it usually takes. */
function silentMs(
  node: Node,
  oldestMs: number | null,
  nowMs: number,
  figures: NodeFigures | null,
): number | null {
  if (oldestMs === null) return null;
  const sinceMs = Math.max(oldestMs, node.conduct.movedAtMs);
  const usualMs = SILENT_TIMES * 1_000 * (figures?.first_byte_p50_s ?? 0);
  return nowMs - sinceMs < Math.max(SILENT_MS, usualMs) ? null : sinceMs;
}

/** Some names, and how many more there are. */
function someOf(models: readonly string[]): string {
  const shown = models.slice(0, MOST_NAMES).map((name) => name.slice(0, LONGEST_NAME));
  const more = models.length - shown.length;
  return shown.join(", ") + (more > 0 ? ` and ${more} more` : "");
}

/** The oldest requests that have not ended, oldest first, and how many run of each model that is served. */
export function openNow(exchanges: Exchanges): {
  readonly oldest: readonly Exchange[];
  readonly byModel: ReadonlyMap<string, number>;
} {
  const oldest: Exchange[] = [];
  const byModel = new Map<string, number>();
  for (const exchange of exchanges.open) {
    const { model, beganAtMs } = exchange;
    // Names that no engine has said come from clients: those are not looked for.
    if (model !== null) byModel.set(model, (byModel.get(model) ?? 0) + 1);
    const isFull = oldest.length === MOST_REQUESTS;
    if (isFull && beganAtMs >= (oldest.at(-1)?.beganAtMs ?? 0)) continue;
    if (isFull) oldest.pop();
    const after = oldest.findLastIndex((other) => other.beganAtMs <= beganAtMs);
    oldest.splice(after + 1, 0, exchange);
  }
  return { oldest, byModel };
}

export function requestCells(exchange: Exchange, nowMs: number): Cell[] {
  const { firstByteAtMs, lastPieceAtMs } = exchange;
  const isQuiet = nowMs - lastPieceAtMs > FLOWS_MS;
  return [
    exchange.id,
    exchange.route,
    exchange.model?.slice(0, LONGEST_NAME) ?? null,
    exchange.client,
    Math.round(exchange.beganAtMs),
    phaseOf(exchange),
    nodeOf(exchange),
    exchange.tries.length,
    exchange.bytesIn,
    Number(exchange.bytesOut.toPrecision(2)),
    firstByteAtMs === null ? null : isQuiet ? Math.round(lastPieceAtMs) : 0,
  ];
}

/** The node it was sent to last, as people call it. */
function nodeOf({ tries }: Exchange): string | null {
  const node = tries.at(-1)?.node;
  return node?.name ?? node?.url ?? null;
}

/** Of one that has ended. */
export function failureCells(exchange: Exchange): Cell[] {
  const last = exchange.tries.at(-1);
  const endedMs = exchange.endedAtMs ?? exchange.beganAtMs;
  return [
    exchange.id,
    Math.round(endedMs),
    statusOf(exchange),
    outcomeOf(exchange),
    errorOf(exchange),
    exchange.model?.slice(0, LONGEST_NAME) ?? null,
    exchange.client,
    nodeOf(exchange),
    exchange.tries.length,
    Math.round(endedMs - exchange.beganAtMs),
    last?.outcome?.detail?.slice(0, LONGEST_TEXT) ?? null,
    1,
  ];
}

/**
 * What is served: how many nodes of how many are healthy, and how many requests run.
 * @param needed Roles of which a request takes a node each: those of the one make up for none of the other.
 */
export function modelCells(
  registry: Registry,
  needed: readonly Role[],
  byModel: ReadonlyMap<string, number>,
): ReadonlyMap<string, readonly Cell[]> {
  return new Map(
    registry
      .models()
      .slice(0, MOST_MODELS)
      .map((name) => {
        const nodes = needed.map((role) => registry.serving(name, role));
        const healthy = nodes.map((all) => all.filter(({ health }) => health.state === "healthy"));
        const counts = (all: readonly (readonly Node[])[]) =>
          all.map(({ length }) => length).join(" ");
        const inFlight = byModel.get(name) ?? 0;
        return [name, [name.slice(0, LONGEST_NAME), counts(healthy), counts(nodes), inFlight]];
      }),
  );
}

function inS(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms / 1_000);
}

/** To so many parts of one. */
function digits(value: number | null | undefined, parts: number): number | null {
  return typeof value === "number" ? Math.round(value * parts) / parts : null;
}

function inMs(s: number | null | undefined): number | null {
  return typeof s === "number" ? preferred(1_000 * s) : null;
}

/** Of each decade (IEC 60063, E24): a median that hardly moves is not told anew. */
const PREFERRED = [
  10, 11, 12, 13, 15, 16, 18, 20, 22, 24, 27, 30, 33, 36, 39, 43, 47, 51, 56, 62, 68, 75, 82, 91,
  100,
];

/** The preferred number that is nearest, to 5 %. */
function preferred(value: number | null | undefined): number | null {
  if (typeof value !== "number") return null;
  if (value <= 0) return 0;
  const unit = 10 ** (Math.floor(Math.log10(value)) - 1);
  const ratio = (number: number) => Math.abs(Math.log((number * unit) / value));
  const nearest = PREFERRED.reduce((best, next) => (ratio(next) < ratio(best) ? next : best));
  return Number((nearest * unit).toPrecision(2));
}
