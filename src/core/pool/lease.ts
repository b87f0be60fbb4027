import type { Failure } from "../failure.ts";
import type { Asked } from "../strategies/strategy.ts";
import type { Usage } from "../usage.ts";
import type { Comparison } from "./lengths.ts";
import type { Node, OpenRequest, Sender } from "./node.ts";

/** The engine answered; the body was read to its end, or given up for another node's answer. */
export interface Answered {
  readonly kind: "answered";
  /** HTTP status. */
  readonly status: number;
  /** The answer's `Retry-After`, ms, if it had one. */
  readonly retryAfterMs?: number | null;
  /** The tokens that it says it took; null when it does not. */
  readonly usage?: Usage | null;
  /** How many tokens of answer there were; null where nothing tells, or where the request asked for few. */
  readonly saidTokens?: number | null;
}

/** Pieces that are further apart than this have a pause between them, ms. */
const PAUSE_MS = 1_000;

/** The client left, or the proxy took it off the node: then `detail` says why. */
interface Cancelled {
  readonly kind: "cancelled";
  readonly detail?: string;
}

/** How one request on one node ended. */
export type Outcome = Answered | Failure | Cancelled;

/** The registry, as a lease knows it. */
export interface LeaseListener {
  answering(lease: Lease, status: number): void;
  firstByte(lease: Lease, nowMs: number): void;
  ended(lease: Lease, outcome: Outcome): void;
}

/**
 * One request on one node, from the moment the node was chosen. The one way a request touches a
 * node's counters: it is in flight exactly as long as its lease is open.
 */
export class Lease implements OpenRequest {
  readonly node: Node;
  readonly asked: Asked;
  /** Stands for the client's request: the same for all its attempts. */
  readonly request: object;
  /** Monotonic time, ms. */
  readonly startedAtMs: number;
  /** The one request that decides whether a node ejected for its answers returns. */
  readonly trial: boolean;
  /** Chosen although no node was routable: such a request has one attempt. */
  readonly lastResort: boolean;
  /** What its answer counts in; null: nothing. */
  readonly comparison: Comparison | null;
  /** Its place would be on this one, which is in question; null: on its own node. */
  readonly insteadOf: Node | null;
  /** Generation of the engine when the request was sent. */
  readonly generation: number;
  /** The longest of the prompts that its first word may have to wait for, its own included, bytes. */
  readonly longestBytes: number;
  /** In the node's bag of leases. */
  place = -1;
  /** Pieces of the answer's body received. */
  pieces = 0;
  lastPieceAtMs = Number.POSITIVE_INFINITY;
  longestGapMs = 0;
  pausedMs = 0;
  /** HTTP status of the answer; null while it has no head. */
  status: number | null = null;
  /** When it ended, monotonic, ms; null while it is open. */
  endedAtMs: number | null = null;
  /** Its node, asked anew, lists the model no longer: that it answered 404 says nothing else of it. */
  modelIsGone = false;
  /** Where the same request was refused, or answered with nothing, just before; null: nowhere. */
  refusedBy: Lease | null = null;
  /** Set by whoever sends the request. */
  sender: Sender | null = null;
  /** What it holds up: dropped once, after the node has been given back. */
  heldBy: { drop(): void } | null = null;

  #firstByteAtMs: number | null = null;
  #isFirstByteTold = false;
  #outcome: Outcome | null = null;
  readonly #listener: LeaseListener;

  constructor(
    node: Node,
    options: {
      readonly asked: Asked;
      readonly request: object;
      readonly startedAtMs: number;
      readonly trial: boolean;
      readonly lastResort: boolean;
      readonly comparison?: Comparison | null;
      readonly insteadOf?: Node | null;
    },
    listener: LeaseListener,
  ) {
    this.node = node;
    this.asked = options.asked;
    this.request = options.request;
    this.startedAtMs = options.startedAtMs;
    this.trial = options.trial;
    this.lastResort = options.lastResort;
    this.comparison = options.comparison ?? null;
    this.insteadOf = options.insteadOf ?? null;
    this.generation = node.generation;
    this.longestBytes = Math.max(
      options.asked.promptBytes,
      node.longest?.asked.promptBytes ?? 0,
      node.othersLongestBytes,
    );
    this.#listener = listener;
  }

  /** The head of an answer with HTTP `status` arrived; the rest of it may take minutes. */
  answering(status: number): void {
    if (this.#outcome !== null) return;
    this.status = status;
    this.#listener.answering(this, status);
    this.#tellFirstByte();
  }

  /** A piece of the answer's body arrived at `nowMs`. */
  piece(nowMs: number): void {
    this.pieces += 1;
    this.node.progress += 1;
    const gapMs = nowMs - this.lastPieceAtMs;
    this.lastPieceAtMs = nowMs;
    if (gapMs > this.longestGapMs) this.longestGapMs = gapMs;
    if (gapMs >= PAUSE_MS) this.pausedMs += gapMs;
    if (this.#firstByteAtMs !== null) return;
    this.#firstByteAtMs = nowMs;
    if (this.#outcome === null) this.#tellFirstByte();
  }

  /** Its client takes more again at `nowMs`: for the time in which it did not, the engine is not to blame. */
  resumed(nowMs: number): void {
    this.lastPieceAtMs = nowMs;
  }

  /** Once it is known what it is the first byte of: an answer, or a failure, also one that says 200. */
  #tellFirstByte(): void {
    if (this.#isFirstByteTold || this.status === null || this.#firstByteAtMs === null) return;
    this.#isFirstByteTold = true;
    this.#listener.firstByte(this, this.#firstByteAtMs);
  }

  /** When the answer's first byte arrived, ms, or null. */
  get firstByteAtMs(): number | null {
    return this.#firstByteAtMs;
  }

  /** How it ended, or null while it is open. */
  get outcome(): Outcome | null {
    return this.#outcome;
  }

  /** Gives the node back; the first call counts, others change nothing. */
  end(outcome: Outcome): void {
    if (this.#outcome !== null) return;
    if (outcome.kind === "answered") {
      this.status = outcome.status;
      this.#tellFirstByte();
    }
    this.#outcome = outcome;
    this.sender = null;
    try {
      this.#listener.ended(this, outcome);
    } finally {
      this.heldBy?.drop();
    }
  }
}
