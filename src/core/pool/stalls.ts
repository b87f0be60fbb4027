/**
 * Engines that stop in the middle of their answers: streams have begun, nothing more comes, `/health` is
 * fine. Pauses as such are no evidence: tools run, thoughts are hidden, a long prefill holds everybody up.
 * So a node's silence is held against the time that its peers' streams spend in pauses of that length.
 */
import type { Node, OpenRequest } from "./node.ts";
import { COLD_PREFILL, LATE_LEAST_MS, RECENT_MS } from "./peer-times.ts";
import type { Peers } from "./peers.ts";
import type { Doubt } from "./trials.ts";

/** A node may send nothing for so long, whatever its peers do, ms. */
const LEAST_MS = 3_000;
/** One stream alone is no evidence; more than this tell no more. */
const LEAST_STREAMS = 2;
const MOST_STREAMS = 8;
/** A node is at fault when the chance that all of its streams pause at once is below this: it is looked at all the time. */
const BY_CHANCE = 1e-6;
/** Its streams have to go on for so many looks before that is more than a moment, 2 s. */
const LOOKS_ON = 8;
const LATELY_MS = 300_000;
/** More streams than this tell no more. */
const ENOUGH_STREAMS = 512;

interface StallOptions {
  readonly peers: Peers;
  readonly doubt: (node: Node, why: Doubt, reason: string) => void;
  readonly trialEnded: (node: Node, lease: OpenRequest, passed: boolean) => void;
  /** What stood still goes on. */
  readonly cleared: (node: Node) => void;
}

export class Stalls {
  readonly #options: StallOptions;

  constructor(options: StallOptions) {
    this.#options = options;
  }

  look(node: Node, nowMs: number): void {
    if (node.health.doubt === "stalled") this.#lookWhileOut(node, nowMs);
    else if (nowMs - node.conduct.flow.atMs >= LEAST_MS) this.#lookAtStreams(node, nowMs);
  }

  #lookAtStreams(node: Node, nowMs: number): void {
    const { peers, doubt } = this.#options;
    let waitingBytes = 0;
    let computedAtMs = 0;
    const begun: OpenRequest[] = [];
    for (const lease of node.leases) {
      const { startedAtMs, firstByteAtMs, lastPieceAtMs, asked, sender } = lease;
      // What stood still before it was out says nothing of what it does now.
      if (startedAtMs < node.health.healthySinceMs) continue;
      if (firstByteAtMs === null) {
        waitingBytes += asked.promptBytes;
        continue;
      }
      if (firstByteAtMs - startedAtMs >= LEAST_MS && firstByteAtMs > computedAtMs) {
        computedAtMs = firstByteAtMs;
      }
      // What has just begun does not show yet whether it goes on.
      if (!asked.stream || nowMs - firstByteAtMs < LEAST_MS) continue;
      if (nowMs - lastPieceAtMs < LEAST_MS) {
        node.conduct.flow.atMs = lastPieceAtMs;
        return;
      }
      if (sender?.clientHoldsUp !== true) begun.push(lease);
    }
    // Long prefills may hold up all streams: what waits for one now, and one that has just ended.
    const since = nowMs - LEAST_MS - waitingBytes / COLD_PREFILL;
    if (computedAtMs > since) return;
    const silent = begun
      .filter(({ lastPieceAtMs }) => lastPieceAtMs <= since)
      .sort((a, b) => a.lastPieceAtMs - b.lastPieceAtMs);
    const [longest] = silent;
    if (longest === undefined || silent.length < LEAST_STREAMS) return;
    if (!peers.of(node).some((peer) => goesOn(peer, nowMs))) return;
    const chance = this.#chance(node, silent.slice(0, MOST_STREAMS), nowMs);
    if (chance >= BY_CHANCE || !this.#isNodes(node, silent, nowMs) || !peers.mayGo(node)) return;
    const stillS = Math.round((nowMs - longest.lastPieceAtMs) / 100) / 10;
    doubt(
      node,
      "stalled",
      `its streams stand still for ${stillS} s while those of its peers go on`,
    );
  }

  /** The chance that all of these are in a pause as long as that, as streams of the node's peers are at times. */
  #chance(node: Node, silent: readonly OpenRequest[], nowMs: number): number {
    let chance = 1;
    for (const { lastPieceAtMs } of silent) {
      chance *= this.#pausedShare(node, nowMs - lastPieceAtMs, nowMs);
    }
    return chance;
  }

  /** How much of their time its peers' streams spend in pauses of half of `silentMs` or more, 0 to 1; 1 when nothing is known. */
  #pausedShare(node: Node, silentMs: number, nowMs: number): number {
    let streams = 0;
    let allMs = 0;
    // One more such pause may be next.
    let pausedMs = silentMs;
    const add = (tookMs: number, longestGapMs: number, itsPausesMs: number) => {
      streams += 1;
      allMs += tookMs;
      if (longestGapMs >= silentMs / 2) pausedMs += itsPausesMs;
    };
    const all = this.#options.peers.of(node);
    for (let i = 0; i < all.length && streams < ENOUGH_STREAMS; i += 1) {
      const peer = all[(i + node.slot) % all.length];
      if (peer === undefined) continue;
      peer.conduct.flow.each(nowMs - LATELY_MS, add);
      for (const { firstByteAtMs, lastPieceAtMs, longestGapMs, pausedMs, asked } of peer.leases) {
        if (firstByteAtMs === null || !asked.stream) continue;
        const gapMs = nowMs - lastPieceAtMs;
        add(nowMs - firstByteAtMs, Math.max(longestGapMs, gapMs), pausedMs + gapMs);
      }
    }
    return pausedMs / (allMs + silentMs);
  }

  /** What follows one client is that client's, unless peers answer him. */
  #isNodes(node: Node, silent: readonly OpenRequest[], nowMs: number): boolean {
    const client = silent[0]?.asked.client ?? null;
    if (client === null || silent.some(({ asked }) => asked.client !== client)) return true;
    return this.#options.peers.serve(node, client, nowMs - RECENT_MS);
  }

  /** It is back when a request on trial goes on and on, or what stood still does. */
  #lookWhileOut(node: Node, nowMs: number): void {
    const { trialEnded, cleared } = this.#options;
    const { conduct } = node;
    let goesOn = false;
    for (const lease of node.leases) {
      const { trial, startedAtMs, firstByteAtMs, lastPieceAtMs } = lease;
      if (firstByteAtMs === null) continue;
      const silentMs = nowMs - lastPieceAtMs;
      if (trial && silentMs >= LEAST_MS) trialEnded(node, lease, false);
      if (trial && lastPieceAtMs - firstByteAtMs >= LEAST_MS) trialEnded(node, lease, true);
      const isOld = startedAtMs < conduct.outAtMs && lastPieceAtMs > conduct.outAtMs;
      goesOn ||= isOld && silentMs < LATE_LEAST_MS / 2;
    }
    conduct.looksOn = goesOn ? conduct.looksOn + 1 : 0;
    if (conduct.looksOn >= LOOKS_ON) cleared(node);
  }
}

/** Whether a stream that has run for a while has sent something lately, or an answer has come to its end. */
function goesOn({ conduct, leases }: Node, nowMs: number): boolean {
  const since = nowMs - LEAST_MS / 2;
  if (conduct.flow.atMs > since) return true;
  for (const { asked, firstByteAtMs, lastPieceAtMs } of leases) {
    const isRunning = firstByteAtMs !== null && nowMs - firstByteAtMs >= LEAST_MS;
    if (asked.stream && isRunning && lastPieceAtMs > since) return true;
  }
  return false;
}
