import type { Lease } from "../core/pool/lease.ts";
import type { Node } from "../core/pool/node.ts";
import type { Signal } from "../core/signal.ts";
import type { Since } from "./pair.ts";
import type { Pairs } from "./pairs.ts";
import type { Route } from "./route.ts";
import type { SessionLedger } from "./sessions.ts";
import { unlessAborted } from "./unless-aborted.ts";

interface Refused {
  readonly pairs: Pick<Pairs, "since" | "connect">;
  /** Its way; what it begins once more goes over the pair that was made anew: others may be stale, too. */
  readonly route: Pick<Route, "only">;
  readonly sessions: Pick<SessionLedger, "unused">;
  /** Calls `act` after `ms`; the function returned prevents it. */
  readonly after: (ms: number, act: () => void) => () => void;
  /** What ends the wait: it rejects with the reason of the first that is aborted, and holds nothing any more. */
  readonly signals: readonly Signal[];
}

/** What was refused has an answer, and does not wait longer for a pair that others use, ms. */
const LONGEST_USE_MS = 1_000;

/**
 * The decode engine refused the request of `lease`, over a pair that may be stale. Has that made anew as soon as nobody
 * uses it, and resolves to what is known then; to null where that could not be, or others use it for long.
 */
export async function untilKnown(prefill: Node, lease: Lease, refused: Refused): Promise<Since> {
  const { route, pairs, sessions, after, signals } = refused;
  const { node: decode, startedAtMs } = lease;
  const since = () => pairs.since(prefill, decode, startedAtMs);
  const { promise: isLate, resolve } = Promise.withResolvers<void>();
  const stop = after(LONGEST_USE_MS, resolve);
  let isOver = false;
  const unused = sessions.unused(prefill, decode, () => isOver || since() !== null);
  try {
    await unlessAborted(Promise.race([unused, isLate]), signals);
  } finally {
    isOver = true;
    stop();
  }
  if (since() === null) await unlessAborted(pairs.connect(prefill, decode), signals);
  const known = since();
  if (known === "anew") route.only = [prefill, decode];
  return known;
}
