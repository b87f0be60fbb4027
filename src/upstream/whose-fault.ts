import type { Wanted } from "../core/pool/choose.ts";
import type { Lease } from "../core/pool/lease.ts";
import { INTERNAL_ERROR, type Result, type Upstream } from "./send.ts";

/**
 * Whether an internal error is the node's fault and not the prompt's: several requests failed there at
 * one moment, or its own health check says so, which is asked. Not where all nodes that are in fail alike:
 * an outage is not multiplied.
 */
export async function isNodesFault(
  { node }: Lease,
  result: Result,
  { model, role, tried }: Wanted,
  { registry, failing, isWell }: Upstream,
): Promise<boolean> {
  if (result.kind !== "unread" || result.status !== INTERNAL_ERROR) return false;
  const hasPeer = () =>
    registry
      .serving(model, role)
      .some((peer) => peer.health.state === "healthy" && !tried.has(peer) && !failing.has(peer));
  if (!hasPeer()) return false;
  // While it is asked others may fail, here and elsewhere: then that counts, too.
  const isIll = !(await isWell(node));
  return (isIll || failing.has(node)) && hasPeer();
}
