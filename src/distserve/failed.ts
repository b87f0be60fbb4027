import type { Reply } from "../upstream/reply.ts";

/** An attempt that failed before the client saw a byte. */
export interface Failed {
  readonly mayRetry: boolean;
  /** The decode node provably never took the blocks on: another one may have them. */
  readonly keepsBlocks: boolean;
  /** It was refused for itself, so it seems: another node may see it otherwise, but not after a wait. */
  readonly isRefused: boolean;
  /** An engine was lost under it, and may be asked again once it is back. */
  readonly mayComeBack: boolean;
  /** What the client gets when there is no further attempt. @throws ProxyError */
  readonly settle: () => Promise<Reply>;
  /** To be called instead when there is one. */
  readonly discard: () => void;
}

/** One that has nothing to be given up for another. */
export function failedWith(mayRetry: boolean, settle: () => Promise<Reply>): Failed {
  const nothing = { keepsBlocks: false, isRefused: false, mayComeBack: false, discard: () => {} };
  return { mayRetry, ...nothing, settle };
}
