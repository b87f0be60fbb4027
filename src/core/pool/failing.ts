/** Failures beside those of the peers: some requests fail at every engine that gets them, and are not the engines' fault. */
import type { Lease } from "./lease.ts";
import type { Node } from "./node.ts";
import type { Peers } from "./peers.ts";
import { SERVED_LATELY_MS } from "./trials.ts";

/** A row is the node's when its chance, were it like peers that fail some, is below this: such rows come all the time. */
const BY_CHANCE = 1e-6;
/** One in the last twenty seconds. */
const SOME = 0.5;

/** Whether `node` is to be out for its row of 5xx answers: its peers may fail the same requests. */
export function failsAlone(node: Node, peers: Peers, nowMs: number): boolean {
  if (!peers.mayGo(node)) return false;
  const others = peers.of(node);
  let good = 0;
  let failed = 0;
  let failNow = 0;
  for (const { conduct, health } of others) {
    // One that is out has been found to fail by itself.
    if (health.outForConduct) continue;
    const lately = conduct.failed.at(nowMs);
    good += conduct.good.at(nowMs);
    failed += lately;
    if (health.badAnswers > 0 && lately > SOME) failNow += 1;
  }
  if (failed < SOME || good < 1) return true;
  // Such requests come together: what most fail now says more than what they have answered before.
  const together = 2 * failNow >= others.length ? failNow / others.length : 0;
  const chance = Math.max((failed + 1) / (failed + good + 2), together);
  return chance ** node.health.badAnswers < BY_CHANCE;
}

/**
 * Nodes that are out since they lost the same client's request before, while they and this one went on
 * answering others: then it ends engines' connections itself, and no node is out for it.
 */
export function lostAlike({ node, request, startedAtMs }: Lease, peers: Peers): readonly Node[] {
  const since = startedAtMs - SERVED_LATELY_MS;
  const servedLately = (one: Node) => one.conduct.answers.lastAtMs > since;
  const before = peers.of(node).filter(({ health }) => health.wasLostBy(request));
  return [node, ...before].every(servedLately) ? before : [];
}
