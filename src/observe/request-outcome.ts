/** How requests went, in the words of the log, the metrics and the traces. */
import type { Exchange, Try } from "../core/exchange.ts";
import type { Usage } from "../core/usage.ts";
import type { LineLevel } from "./line-format.ts";

/** Status of a request whose client left before it had one. Source: nginx. */
const CLIENT_LEFT = 499;

/**
 * How a request went, in one word: `answered`, a kind of `core/failure.ts`, `rejected` when the proxy sent
 * it nowhere, or `cancelled_by_admin`; `cancelled` is for clients that left.
 */
export function outcomeOf({ ended, answeredBy, tries }: Exchange): string {
  if (ended?.how === "client_gone") return "cancelled";
  if (ended?.how === "cancelled") return "cancelled_by_admin";
  if (ended?.how === "broken" || ended?.how === "shutdown") return "broken";
  return (answeredBy ?? tries.at(-1))?.outcome?.kind ?? "rejected";
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
export function prefillOf({ tries }: Exchange): Try | null {
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
