import type { Clock } from "../core/clock.ts";
import type { Node } from "../core/pool/node.ts";
import { Attempt } from "./attempt.ts";

/** Limits of one attempt, ms; null for none. */
export interface TimeLimits {
  /** Until a connection stands. */
  readonly connectMs: number;
  /** Until the answer's first byte. */
  readonly firstByteMs: number | null;
  /** Between two pieces of the answer. */
  readonly idleMs: number | null;
  /** From the client's request to the answer's last byte, all attempts together. */
  readonly totalMs: number | null;
}

export interface DeadlineOptions {
  readonly limits: TimeLimits;
  readonly clock: Clock;
  /** Every node that may have open requests. */
  readonly nodesInUse: () => readonly Node[];
  /** Whether a TCP connection to the node behind `url` can be had within `limitMs`. */
  readonly reachable: (url: string, limitMs: number) => Promise<boolean>;
  /** How many connections to it do not stand yet. */
  readonly connecting: (url: string) => Promise<number>;
}

/** Limits are kept to this precision, ms: one timer for all attempts instead of some for each. */
const TICK_MS = 100;
/** So long an answer may stand still whose engine takes no connection any more, ms: it is stopping, and hangs. */
const GONE_SILENT_MS = 10_000;
/** A connection that is tried from the side has at most this long to stand, ms. */
const LONGEST_CHECK_MS = 1_000;

/** Holds all open attempts to their time limits. */
export class Deadlines {
  readonly #options: DeadlineOptions;
  #stopTicking: (() => void) | null = null;

  constructor(options: DeadlineOptions) {
    this.#options = options;
  }

  /** What is left of the whole time of a request that began at `startedAtMs`, ms; null for no limit. */
  leftMs(startedAtMs: number): number | null {
    const { limits, clock } = this.#options;
    return limits.totalMs === null ? null : startedAtMs + limits.totalMs - clock.now();
  }

  start(): void {
    this.#stopTicking ??= this.#options.clock.every(TICK_MS, () => this.tick());
  }

  stop(): void {
    this.#stopTicking?.();
    this.#stopTicking = null;
  }

  /** Looks at every open attempt once. */
  tick(): void {
    const nowMs = this.#options.clock.now();
    for (const node of this.#options.nodesInUse()) {
      if (node.inFlight === 0) continue;
      for (const { sender } of node.leases) {
        if (sender instanceof Attempt) this.#check(sender, nowMs);
      }
    }
  }

  #check(attempt: Attempt, nowMs: number): void {
    const { connectMs, firstByteMs, idleMs, totalMs } = this.#options.limits;
    const elapsedMs = nowMs - attempt.lease.startedAtMs;
    const checkMs = Math.min(LONGEST_CHECK_MS, connectMs / 2);
    if (totalMs !== null && nowMs - attempt.requestStartedAtMs >= totalMs) {
      attempt.stop("total_timeout");
    } else if (attempt.begun) {
      const silentMs = attempt.silentMs(nowMs);
      if (idleMs !== null && silentMs >= idleMs) attempt.stop("idle_timeout");
      else if (silentMs >= GONE_SILENT_MS && attempt.lease.node.absent) attempt.stop("node_gone");
    } else if (firstByteMs !== null && elapsedMs >= firstByteMs) {
      attempt.stop("first_byte_timeout");
    } else if (elapsedMs >= connectMs - checkMs && !attempt.connected && !attempt.connectChecked) {
      attempt.connectChecked = true;
      void this.#checkConnection(attempt, checkMs);
    }
  }

  /**
   * fetch neither limits nor reports its connecting. A request that is silent may wait for its
   * connection or for a long prefill; a second connection from the side, tried twice, tells whether
   * the node takes any. Those that stand already may do so: only as many requests are given up as
   * there are connections that do not stand, the latest ones.
   */
  async #checkConnection(attempt: Attempt, limitMs: number): Promise<void> {
    const { reachable, connecting } = this.#options;
    const { node } = attempt.lease;
    for (let tries = 0; tries < 2; tries += 1) {
      if (await reachable(node.url, limitMs / 2)) return;
    }
    const missing = await connecting(node.url);
    if (!attempt.connected && laterThan(attempt) < missing) attempt.stop("connect_timeout");
  }
}

/** Requests on the node of `attempt` that were sent after it and have no answer yet either. */
function laterThan({ lease }: Attempt): number {
  let count = 0;
  for (const { sender, startedAtMs } of lease.node.leases) {
    const isSilent = sender instanceof Attempt && !sender.connected;
    if (isSilent && startedAtMs > lease.startedAtMs) count += 1;
  }
  return count;
}
