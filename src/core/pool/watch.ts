import { ROLES } from "../engine/roles.ts";
import { isLongAlready, SHORT_TOKENS } from "./lengths.ts";
import type { ModelIndex } from "./model-index.ts";
import type { Node, OpenRequest } from "./node.ts";
import { LATE_LEAST_MS } from "./peer-times.ts";
import type { Peers } from "./peers.ts";
import { Stalls } from "./stalls.ts";
import type { Doubt } from "./trials.ts";

/** How often open requests are to be looked at, ms. */
export const LOOK_MS = 250;
/** A look that comes so much later than the last says that the proxy itself stood still, ms. */
const STALL_MS = 1_000;
/** More requests than this of a node, and of all, are not compared with others at a time. */
const AT_A_LOOK = 8;
const ALL_AT_A_LOOK = 256;
/** How often answers are compared, ms. */
const COMPARE_MS = 1_000;
/** A lone late request moves after so many times what makes it late; two late ones need not wait. */
const ALONE_TIMES = 1.5;
/**
 * A prefill is slower than this on no engine worth having, bytes a ms: 500,000 tokens of 4 bytes take
 * eleven minutes. What could still be one is not sent again.
 */
const SLOWEST_PREFILL = 3;

export interface WatchOptions {
  readonly index: ModelIndex;
  readonly peers: Peers;
  /** The node is no longer to be trusted, because … */
  readonly doubt: (node: Node, why: Doubt, reason: string) => void;
  /** Its request on trial, if that is what it is, has shown whether it is well. */
  readonly trialEnded: (node: Node, lease: OpenRequest, passed: boolean) => void;
  /** What it was not to be trusted for is over. */
  readonly cleared: (node: Node) => void;
}

/** What has been silent for too long, judged by what peers answer meanwhile. */
export class Watch {
  readonly #options: WatchOptions;
  readonly #stalls: Stalls;
  #looks = 0;
  #lookedAtMs = Number.POSITIVE_INFINITY;
  #comparedAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#stalls = new Stalls(options);
  }

  /** Looks at every node once; to be called every `LOOK_MS`. */
  look(nowMs: number): void {
    const { index } = this.#options;
    const stoodStill = nowMs - this.#lookedAtMs > STALL_MS;
    this.#lookedAtMs = nowMs;
    this.#looks += 1;
    const nodes = ROLES.flatMap((role) => index.serving(null, role));
    let left = ALL_AT_A_LOOK;
    for (let i = 0; i < nodes.length; i += 1) {
      // Others come first at every look: there may be too many for one.
      const node = nodes[(i + this.#looks * AT_A_LOOK) % nodes.length];
      if (node === undefined) continue;
      node.conduct.moved(node.piecesOfAll, nowMs);
      // Nobody could be heard: what they sent has yet to be read.
      if (stoodStill) node.conduct.movedAtMs = node.conduct.flow.atMs = nowMs;
      if (node.leases.size > 0) this.#stalls.look(node, nowMs);
      this.#lookAtLengths(node, nowMs);
      if (node.inFlight > 0 && left > 0) left -= this.#lookForHung(node, nowMs);
    }
    if (nowMs - this.#comparedAtMs < COMPARE_MS) return;
    this.#comparedAtMs = nowMs;
    for (const role of ROLES) this.#lookForSlow(index.serving(null, role), nowMs);
  }

  /**
   * A node that sends nothing at all while peers answer the like gets no more, and what is late there
   * moves, unless it may be a long prefill. Returns how many requests were looked at.
   */
  #lookForHung(node: Node, nowMs: number): number {
    const { peers, doubt, trialEnded } = this.#options;
    const stillMs = nowMs - node.conduct.movedAtMs;
    if (stillMs < LATE_LEAST_MS) return 0;
    const silent = this.#silent(node, nowMs);
    const late: { readonly lease: OpenRequest; readonly times: number }[] = [];
    let evidence = 0;
    for (const { lease, bytes } of silent) {
      const ageMs = nowMs - lease.startedAtMs;
      this.#giveRefusal(node, lease, bytes, Math.min(ageMs, stillMs), nowMs);
      const lateAfterMs = peers.times.lateAfterMs(node, lease, bytes, nowMs);
      if (lateAfterMs === null || Math.min(ageMs, stillMs) < lateAfterMs) continue;
      late.push({ lease, times: ageMs / lateAfterMs });
      evidence += isTold(node, lease) || lease.trial ? 1 : 0.5;
    }
    if (evidence < 1) return silent.length;
    if (node.health.state === "healthy" && !peers.mayGo(node)) return silent.length;
    const oldestMs = Math.max(...late.map(({ lease }) => nowMs - lease.startedAtMs));
    const silentS = Math.round(Math.min(oldestMs, stillMs) / 100) / 10;
    doubt(node, "late", `sent nothing for ${silentS} s while its peers answered the like`);
    for (const { lease, times } of late) {
      trialEnded(node, lease, false);
      if (mayBePrefill(lease, nowMs) || (evidence < 2 && times < ALONE_TIMES)) continue;
      lease.sender?.evict("node_ejected");
    }
    return silent.length;
  }

  /**
   * What was refused elsewhere, and rightly for all that is known, has an answer: it does not wait for a node that has
   * been silent for longer than it ever is, which is no evidence that this one hangs.
   */
  #giveRefusal(
    node: Node,
    lease: OpenRequest,
    bytes: number,
    silentMs: number,
    nowMs: number,
  ): void {
    const { refusedBy, asked } = lease;
    if (refusedBy === null || refusedBy.trial) return;
    if (refusedBy.node.conduct.refusals.isOverruled(nowMs)) return;
    const lateAfterMs = this.#options.peers.times.lateByItselfAfterMs(node, asked, bytes, nowMs);
    // What is sent as a whole may just be long.
    const times = isTold(node, lease) ? ALONE_TIMES : 2 * ALONE_TIMES;
    if (lateAfterMs === null || silentMs < times * lateAfterMs || mayBePrefill(lease, nowMs))
      return;
    lease.sender?.evict("node_ejected");
  }

  /**
   * Some of the requests that have waited long for their first word, others at every look, and the bytes
   * of prompts, theirs with them, that may have to be computed before it.
   */
  #silent(node: Node, nowMs: number): { readonly lease: OpenRequest; readonly bytes: number }[] {
    let bytes = node.othersLongestBytes;
    const all = [...node.leases]
      .filter(({ firstByteAtMs }) => firstByteAtMs === null)
      .sort((a, b) => a.startedAtMs - b.startedAtMs)
      .map((lease) => {
        bytes += lease.asked.promptBytes;
        return { lease, bytes };
      })
      .filter(
        ({ lease: { lastResort, startedAtMs } }) =>
          !lastResort && nowMs - startedAtMs >= LATE_LEAST_MS,
      );
    if (all.length <= AT_A_LOOK) return all;
    const from = (this.#looks * AT_A_LOOK) % all.length;
    return [...all.slice(from), ...all.slice(0, from)].slice(0, AT_A_LOOK);
  }

  /** A node whose answers are in question is out once those of its peers show that they are too short. */
  #lookAtLengths(node: Node, nowMs: number): void {
    const { peers, doubt, trialEnded } = this.#options;
    if (node.health.doubt === "short") {
      for (const lease of node.leases) {
        if (lease.trial && isLongAlready(lease)) trialEnded(node, lease, true);
      }
    }
    const { lengths } = node.conduct;
    const verdict = lengths.comparison?.verdict(nowMs) ?? null;
    if (verdict === null) return;
    lengths.settled(verdict, nowMs);
    if (verdict !== "node" || !peers.mayGo(node)) return;
    doubt(node, "short", `ends its answers after ${SHORT_TOKENS} tokens or less; its peers do not`);
  }

  /** An answer has ended whose length is known. One more in a row of short ones may put its node in question. */
  measured(node: Node, nowMs: number): void {
    const { lengths } = node.conduct;
    if (!lengths.isOdd(nowMs)) return;
    lengths.question(node.leases, this.#options.peers.shortShare(node, nowMs), nowMs);
  }

  #lookForSlow(nodes: readonly Node[], nowMs: number): void {
    const { peers, doubt } = this.#options;
    const healthy = nodes.filter(({ health }) => health.routable(nowMs));
    const suspects = new Map(
      peers.times
        .maybeSlow(healthy, nowMs)
        .map((node) => [node, peers.times.slowness(node, nowMs)]),
    );
    for (const node of healthy) {
      const slowness = suspects.get(node) ?? 1;
      // Twice, or a moment's pause under many short requests would look like it.
      const before = node.conduct.wasSlow;
      node.conduct.wasSlow = slowness > 1;
      if (slowness <= 1 || !before || !peers.mayGo(node)) continue;
      doubt(node, "late", `answers ${Math.round(slowness)} times more slowly than its peers`);
    }
  }

  /** A client or a time limit gave a request up that had no answer yet. Twice in a row speaks against the node. */
  givenUp(node: Node, lease: OpenRequest, nowMs: number): void {
    const { peers, doubt, trialEnded } = this.#options;
    const { conduct } = node;
    conduct.moved(node.piecesOfAll, nowMs);
    if (lease.lastResort || conduct.movedAtMs > lease.startedAtMs) return;
    // Here it was to show that it answers at all.
    if (node.health.doubt === "late" && !mayBePrefill(lease, nowMs)) trialEnded(node, lease, false);
    if (!peers.times.waitedLong(node, lease, nowMs)) return;
    trialEnded(node, lease, false);
    conduct.givenUp += isTold(node, lease) ? 1 : 0.5;
    if (conduct.givenUp < 2 || !peers.mayGo(node)) return;
    doubt(node, "late", "answers nothing that its peers answer; its clients give up");
  }
}

/** Whether a silent request may be in a prefill that is merely long: then it is not sent again. */
export function mayBePrefill({ startedAtMs, asked }: OpenRequest, nowMs: number): boolean {
  return nowMs - startedAtMs < LATE_LEAST_MS + asked.promptBytes / SLOWEST_PREFILL;
}

/** Whether the first word tells of the prefill; that of an answer sent as a whole comes with its last. */
function isTold({ role }: Node, { asked }: OpenRequest): boolean {
  return asked.stream || role === "Prefill";
}
