import type { Lease } from "../core/pool/lease.ts";
import type { Node } from "../core/pool/node.ts";
import { isPartial } from "../core/said-failure.ts";
import type { Judged } from "./answer.ts";

/** What an answer amounts to that an engine gave up (`core/said-failure.ts`). */
const GIVEN_UP = 503;

/**
 * Whether an engine gave its answer up since somebody wished so: then it is as good as any. Trainers
 * abort what is too long, want what there is of it, and nothing begun anew on another node. So it is
 * after an abort that went through the proxy, and with a part of an answer from an engine that is well
 * and awake: it is not going away.
 */
export async function isWishedEnd(
  { node, startedAtMs }: Lease,
  { status, pieces }: Judged,
  isWell: (node: Node) => Promise<boolean>,
): Promise<boolean> {
  if (status !== GIVEN_UP) return false;
  if (!pieces.some((piece) => Buffer.from(piece).includes('"abort"'))) return false;
  if (node.abortedAtMs >= startedAtMs) return true;
  const [whole, ...more] = pieces;
  return whole !== undefined && more.length === 0 && isPartial(whole) && (await isWell(node));
}
