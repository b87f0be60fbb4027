import type { Admission } from "../core/admission/admission.ts";
import { shuttingDown } from "../core/admission/refusals.ts";
import { type Clock, pause, within } from "../core/clock.ts";
import type { Exchanges } from "../core/exchange.ts";
import type { Registry } from "../core/pool/registry.ts";
import type { DistServe } from "../distserve/distserve.ts";
import type { SlowBodies } from "../http/slow-bodies.ts";
import type { EventLog } from "../observe/log.ts";

export interface LifecycleOptions {
  readonly clock: Clock;
  readonly registry: Registry;
  readonly admission: Admission;
  readonly exchanges: Exchanges;
  readonly slow: SlowBodies;
  /** How long new requests are taken once it is known that it ends, ms. */
  readonly shutdownDelayMs: number;
  /** How long running requests may finish once draining began, ms. */
  readonly drainTimeoutMs: number;
  /** Requests whose answer has not left the socket yet. */
  readonly pendingRequests: () => number;
  readonly distServe: Pick<DistServe, "cut" | "close"> | null;
  /** Answers that never end by themselves: those who look at the live page. */
  readonly live: { stop(): void };
  /** How long a client's connection may stand idle, ms. */
  readonly keepAliveMs: number;
  readonly log: Pick<EventLog, "info" | "warning">;
}

/** Bun looks at idle connections each 4 s. */
export const IDLE_SLACK_MS = 5_000;
/** How often one that is retired looks whether anybody is left. */
const DESERTED_POLL_MS = 250;

/** How often the sockets are looked at: nothing tells when the last byte of an answer has left. */
const FLUSH_POLL_MS = 10;
/** What is left to write after the last answer has this long to leave, ms. */
const FLUSH_LIMIT_MS = 1_000;

/** Whether the proxy takes new requests, and its way out: nothing new, what runs finishes, the rest is cut. */
export class Lifecycle {
  readonly #options: LifecycleOptions;
  #open = true;
  #leaving = false;
  #retired = false;
  #nodesMoved = false;
  #clients: (() => number) | null = null;

  constructor(options: LifecycleOptions) {
    this.#options = options;
  }

  /** False once draining began: new inference is refused. */
  get open(): boolean {
    return this.#open;
  }

  /** True from the moment that it is about to end: `/ready` says so. */
  get leaving(): boolean {
    return this.#leaving;
  }

  /** Whether another process takes what is new: who is connected here is answered, and asked to leave. */
  get retired(): boolean {
    return this.#retired;
  }

  /** Whether that is the one that has the nodes now: what changes them is to be asked there. */
  get nodesMoved(): boolean {
    return this.#nodesMoved;
  }

  retire({ nodesMoved }: { readonly nodesMoved: boolean }): void {
    this.#retired = true;
    this.#nodesMoved ||= nodesMoved;
    this.#options.live.stop();
  }

  /** Nobody connects here any more. @param clients How many are still connected. */
  leftPort(clients: () => number): void {
    this.#clients = clients;
  }

  /**
   * Resolves when nothing is in flight any more, at the latest a second after the time limit. Before
   * that it goes on serving for the delay: balancers learn late that an endpoint is going.
   * @param told One that is retired waits for its clients to go, unless this resolves before.
   * @param isSaid Whether somebody else says it, of this process and others.
   * @returns how many requests were cut
   */
  async drain(told: Promise<unknown>, isSaid = () => false): Promise<number> {
    // What still runs after that has had its time.
    const isLate = this.#retired && !(await this.#deserted(told));
    this.#leaving = true;
    const { clock, shutdownDelayMs, exchanges } = this.#options;
    const log = isSaid() ? null : this.#options.log;
    if (shutdownDelayMs > 0) {
      log?.info("about to end: not ready any more", { serves_for_s: shutdownDelayMs / 1_000 });
      await pause(clock, shutdownDelayMs);
    }
    this.#open = false;
    const { drainTimeoutMs, admission, registry, distServe, slow } = this.#options;
    const limitMs = isLate ? 0 : drainTimeoutMs;
    const unfinished = exchanges.open.size;
    log?.info("ending: what runs or waits may finish", { unfinished, limit_s: limitMs / 1_000 });
    let cut = 0;
    if (await this.#idleWithin(limitMs)) log?.info("ending: all has finished");
    else {
      cut = exchanges.open.size;
      log?.warning("ending: what is left is cut", { unfinished: cut });
      slow.refuseAll(shuttingDown());
      admission.close();
      distServe?.cut();
      for (const node of registry.nodesInUse()) {
        for (const lease of node.leases) lease.sender?.evict("shutdown");
      }
    }
    await distServe?.close();
    this.#options.live.stop();
    await this.#flushed();
    return cut;
  }

  /**
   * Resolves when no client is connected, or, where that is not known, when nobody has asked anything for
   * as long as a connection may stand idle: on none the next request could be on its way. Once all that
   * were idle have gone, what still runs has the time that it has after SIGTERM: false when that is over.
   */
  async #deserted(told: Promise<unknown>): Promise<boolean> {
    const { clock, exchanges, keepAliveMs, drainTimeoutMs } = this.#options;
    const lingerMs = keepAliveMs + IDLE_SLACK_MS;
    const untilMs = clock.now() + lingerMs + drainTimeoutMs;
    let busyAtMs = clock.now();
    const unsubscribe = exchanges.subscribe(() => {
      busyAtMs = clock.now();
    });
    let isTold = false;
    void told.then(() => {
      isTold = true;
    });
    while (!isTold && clock.now() < untilMs) {
      if (exchanges.open.size > 0) busyAtMs = clock.now();
      else if (clock.now() - busyAtMs >= lingerMs || this.#clients?.() === 0) break;
      await pause(clock, DESERTED_POLL_MS);
    }
    unsubscribe();
    return isTold || clock.now() < untilMs;
  }

  /** Whether every exchange ends within `limitMs`. */
  #idleWithin(limitMs: number): Promise<boolean> {
    const { clock, exchanges, admission } = this.#options;
    // A prefill goes on when its client has left: then only its place tells that it runs.
    return within(clock, limitMs, Promise.all([exchanges.idle(), admission.idle()]));
  }

  async #flushed(): Promise<void> {
    for (let waitedMs = 0; waitedMs < FLUSH_LIMIT_MS; waitedMs += FLUSH_POLL_MS) {
      if (this.#options.pendingRequests() === 0) return;
      await pause(this.#options.clock, FLUSH_POLL_MS);
    }
  }
}
