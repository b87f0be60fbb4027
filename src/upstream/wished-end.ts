import type { Lease } from "../core/pool/lease.ts";
import { isPartial } from "../core/said-failure.ts";
import type { Judged } from "./answer.ts";
import type { Result, Upstream } from "./send.ts";

/** What an answer amounts to that an engine gave up (`core/said-failure.ts`). */
const GIVEN_UP = 503;

/**
 * An answer that an engine gave up since somebody wished so, as the good one that it is; else null.
 * Trainers abort what is too long, want what there is of it, and nothing begun anew on another node. So
 * it is after an abort that went through the proxy, and with a part of an answer from an engine that is
 * well: it is not going away.
 */
export async function wishedEnd(
  { node, startedAtMs }: Lease,
  result: Result,
  { isWell }: Upstream,
): Promise<Judged | null> {
  if (result.kind !== "unread" || result.status !== GIVEN_UP) return null;
  const { answer, judged } = result;
  if (judged === null || !judged.pieces.some((piece) => Buffer.from(piece).includes('"abort"'))) {
    return null;
  }
  const [whole, ...more] = judged.pieces;
  const isWished =
    node.abortedAtMs >= startedAtMs ||
    (whole !== undefined && more.length === 0 && isPartial(whole) && (await isWell(node)));
  return isWished ? { ...judged, status: answer.status } : null;
}
