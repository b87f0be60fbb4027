import type { Exchange, Exchanges } from "../core/exchange.ts";

/**
 * What a request is doing: `reading` its body comes; `waiting` for a place or a node; `sent` to a
 * node that has not begun to answer; `answering`.
 */
export type Phase = "reading" | "waiting" | "sent" | "answering";

/** A request that has not ended. Times in s. */
export interface OpenRequest {
  readonly id: string;
  readonly phase: Phase;
  readonly age_s: number;
  readonly path: string;
  readonly model: string | null;
  readonly client: string | null;
  readonly node: string | null;
  readonly node_name: string | null;
  readonly attempts: number;
  readonly bytes_in: number;
  readonly bytes_out: number;
  /** Null before the first. */
  readonly last_byte_age_s: number | null;
}

/** All requests that have not ended, oldest first. @param nowMs Monotonic. */
export function openRequests(exchanges: Exchanges, nowMs: number): OpenRequest[] {
  return [...exchanges.open]
    .sort((a, b) => a.beganAtMs - b.beganAtMs)
    .map((exchange) => ({
      id: exchange.id,
      phase: phaseOf(exchange),
      age_s: (nowMs - exchange.beganAtMs) / 1_000,
      path: exchange.route,
      model: exchange.model?.slice(0, 512) ?? null,
      client: exchange.client,
      node: exchange.tries.at(-1)?.node.url ?? null,
      node_name: exchange.tries.at(-1)?.node.name ?? null,
      attempts: exchange.tries.length,
      bytes_in: exchange.bytesIn,
      bytes_out: exchange.bytesOut,
      last_byte_age_s:
        exchange.firstByteAtMs === null ? null : (nowMs - exchange.lastPieceAtMs) / 1_000,
    }));
}

export function phaseOf({ readAtMs, tries, firstByteAtMs }: Exchange): Phase {
  if (firstByteAtMs !== null) return "answering";
  if (tries.length > 0) return "sent";
  return readAtMs === null ? "reading" : "waiting";
}
