import type { Clock } from "../core/clock.ts";
import { ProxyError } from "../core/errors.ts";
import type { Node } from "../core/pool/node.ts";
import type { Attempt } from "../upstream/attempt.ts";
import type { Reply } from "../upstream/reply.ts";
import { discard, type Unread } from "../upstream/send.ts";
import type { Since } from "./pair.ts";

/** An attempt that failed before the client saw a byte. */
export interface Failed {
  readonly mayRetry: boolean;
  /** The decode node provably never took the blocks on: another one may have them. */
  readonly keepsBlocks: boolean;
  /** It was refused for itself, so it seems: another node may see it otherwise, but not after a wait. */
  readonly isRefused: boolean;
  /** What its request was refused with before says more. */
  readonly saysLess: boolean;
  /** An engine was lost under it, and may be asked again once it is back. */
  readonly mayComeBack: boolean;
  /**
   * Refused by the decode node after its prefill node took it, over a pair of which one may not know the other: resolves
   * to what is known of it in the end. Else null.
   */
  readonly stale: (() => Promise<Since>) | null;
  /** What the client gets when there is no further attempt. @throws ProxyError */
  readonly settle: () => Promise<Reply>;
  /** To be called instead when there is one. */
  readonly discard: () => void;
}

/** One that has nothing to be given up for another. */
export function failedWith(mayRetry: boolean, settle: () => Promise<Reply>): Failed {
  const nothing = { keepsBlocks: false, isRefused: false, mayComeBack: false, stale: null };
  return { mayRetry, ...nothing, saysLess: true, settle, discard: () => {} };
}

/** Of something that is gone, and may come back. */
export function failedFor(mayRetry: boolean, error: () => ProxyError): Failed {
  return { ...failedWith(mayRetry, () => Promise.reject(error())), mayComeBack: true };
}

/** A decode engine failed since the prefill engine is gone: that is not charged to it. */
export function excuse(attempt: Attempt, answer: Unread, clock: Clock): void {
  // It has answered: nobody has waited for it in vain.
  attempt.received(clock.now());
  attempt.lease.end({ kind: "cancelled", detail: "its prefill engine is gone" });
  discard(attempt, answer, clock);
}

/** Between the steps the prefill engine was replaced by another process: it is done anew. */
export function lostBlocks({ url }: Node): ProxyError {
  const message = `The prefill engine ${url} was restarted under the request; try again.`;
  return new ProxyError("upstream_error", message);
}
