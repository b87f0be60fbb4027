/**
 * Whose fault refusals are. Every engine refuses bad requests, and a client's come together; a node that is wrongly
 * configured refuses good ones, and under a strategy that brings what is alike to one node its peers may be asked
 * nothing of the kind. So nothing is guessed of what peers answer otherwise: one request that was refused, or answered
 * with nothing, is tried on a peer, and its client gets what comes of that. A node may also refuse one sort of requests
 * alone: then that is what its clients need for each of these, and no reason to ask it nothing else.
 */
import type { Lease } from "./lease.ts";
import type { Node } from "./node.ts";
import type { Peers } from "./peers.ts";
import { EMPTY } from "./statuses.ts";

export interface SecondOpinionsOptions {
  readonly peers: Peers;
  /** Monotonic clock, ms. */
  readonly now: () => number;
  /** The node is no longer to be trusted, because … */
  readonly doubt: (node: Node, reason: string) => void;
}

export class SecondOpinions {
  readonly #options: SecondOpinionsOptions;

  constructor(options: SecondOpinionsOptions) {
    this.#options = options;
  }

  /** Whether what a request gets just now, a refusal or nothing, should be tried on a peer. */
  mayAsk(lease: Lease, status: number): boolean {
    const { node, asked, trial } = lease;
    const { refusals } = node.conduct;
    const nowMs = this.#options.now();
    return isTelling(lease) && (trial || refusals.mayAsk(asked.client, status === EMPTY, nowMs));
  }

  /** `lease` sends to a peer what was refused, or answered with nothing, as `refused`. */
  asks(lease: Lease, refused: Lease): void {
    // What a node says when it is asked again is none.
    if (!isTelling(refused) || lease.node === refused.node) return;
    lease.refusedBy = refused;
    const isCounted = refused.outcome !== null;
    refused.node.conduct.refusals.asks(lease, isCounted, this.#options.now());
  }

  /** A request got a refusal, or nothing; another node may have given it the same just before. */
  refused(lease: Lease, nowMs: number): void {
    const { node, asked, refusedBy } = lease;
    if (!isTelling(lease)) return;
    const { refusals } = node.conduct;
    if (refusedBy === null) {
      refusals.refused(nowMs);
      return;
    }
    refusals.excuses(asked.client, nowMs);
    refusedBy.node.conduct.refusals.alike(asked.client, nowMs);
    // What all refuse shows nothing of one that is out.
    refusedBy.node.health.trialEnded(refusedBy, "alike", nowMs);
  }

  /** A request is answered well; another node may have refused it just before. */
  answered(lease: Lease): void {
    const { refusedBy } = lease;
    if (refusedBy === null) return;
    const { node, generation, status } = refusedBy;
    const { refusals } = node.conduct;
    const nowMs = this.#options.now();
    // The rest of the answer, which may take long, shows no more.
    refusals.askEnded(lease);
    if (generation !== node.generation) return;
    if (!refusals.refuted(lease.asked.client, nowMs) || !this.#options.peers.mayGo(node)) return;
    const what = status === EMPTY ? "answers nothing to" : `refuses (${status})`;
    this.#options.doubt(node, `${what} what its peers answer`);
    // That is forgotten with what it did before; and it may be back with what it does not refuse.
    refusals.overruled(nowMs);
  }

  /** A request has ended, whichever way. */
  ended(lease: Lease): void {
    lease.refusedBy?.node.conduct.refusals.askEnded(lease);
  }
}

/** Whether a refusal says anything of the node: not of something that another one may keep, or serve by now. */
function isTelling({ asked, modelIsGone }: Lease): boolean {
  return asked.kept === null && !modelIsGone;
}
