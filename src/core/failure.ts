/**
 * How asking an engine, or sending it a request, can fail:
 *
 * - `refused`: its host says that nobody listens there. Whatever process listened has ended.
 * - `unreachable`: no connection (no route, no address). Its process may live.
 * - `untrusted`: its certificate does not prove who it is. It lives, and what it has already goes on.
 * - `forbidden`: its address is one that the proxy must not connect to. Nobody was asked.
 * - `ours`: the proxy itself could not (no open file, port or buffer left). It says nothing of the engine.
 * - `lost`: sent, and the connection lost before the answer began.
 * - `broken`: the answer was lost in the middle.
 * - `timeout`: a time limit ran out.
 */
export type FailureKind =
  | "refused"
  | "unreachable"
  | "untrusted"
  | "forbidden"
  | "ours"
  | "lost"
  | "broken"
  | "timeout";

export interface Failure {
  readonly kind: FailureKind;
  /** What happened, for people. */
  readonly detail: string;
}

/** Whether the engine provably has not seen a byte of what failed so. */
export function neverSent(kind: FailureKind): boolean {
  return ["refused", "unreachable", "untrusted", "forbidden", "ours"].includes(kind);
}
