import { ProxyError } from "./errors.ts";
import type { Lease } from "./lease.ts";
import type { NoNode, Registry, Wanted } from "./registry.ts";

export interface AdmissionOptions {
  /** Requests in the whole proxy, Infinity for no limit. */
  readonly maxConcurrency: number;
  /** Requests of one client, Infinity for no limit. */
  readonly maxPerClient: number;
  /** Requests that may wait, 0 or more. */
  readonly queueSize: number;
  /** How long one may wait for a place, ms. */
  readonly queueTimeoutMs: number;
  /** Calls `act` after `ms`; the function returned prevents it. */
  readonly after: (ms: number, act: () => void) => () => void;
}

/** A node that is about to be ready is waited for this long, ms. */
const STARTING_WAIT_MS = 2_000;

interface Waiter {
  readonly wanted: Wanted;
  readonly client: string;
  readonly admit: (admitted: Admitted) => void;
  readonly refuse: (error: ProxyError) => void;
  /** What it waits for, as last found. */
  blockedBy: Blocked;
}

type Blocked = "client" | "cluster" | "starting";

/**
 * An admitted request and the place it occupies. The place is given back when whoever admitted it
 * has let go and every lease it was handed to has ended, so that retries and the two steps of
 * DistServe count as the one request they are.
 */
export class Admitted {
  readonly lease: Lease;
  readonly #leave: () => void;
  #holds = 1;

  constructor(lease: Lease, leave: () => void) {
    this.lease = lease;
    this.#leave = leave;
    this.hold(lease);
  }

  /** The request occupies its place at least as long as `lease` is open. */
  hold(lease: Lease): void {
    this.#holds += 1;
    lease.onEnded = () => this.drop();
  }

  /** One holder less. */
  drop(): void {
    this.#holds -= 1;
    if (this.#holds === 0) this.#leave();
  }
}

/** Decides when a request may start: limits, and behind them a queue, first in first out per model. */
export class Admission {
  readonly #registry: Registry;
  readonly #options: AdmissionOptions;
  readonly #waiting = new Set<Waiter>();
  readonly #perClient = new Map<string, number>();
  #running = 0;
  #pumping = false;

  constructor(registry: Registry, options: AdmissionOptions) {
    this.#registry = registry;
    this.#options = options;
    registry.subscribe({
      leaseEnded: () => this.#pump(),
      stateChanged: () => this.#pump(),
      membershipChanged: () => this.#pump(),
    });
  }

  /** Requests that wait for a place or a node. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Refuses everything that still waits: the proxy is shutting down. */
  close(): void {
    for (const waiter of this.#waiting) waiter.refuse(shuttingDown());
  }

  /**
   * Admits a request, now or when its turn comes. Rejects with a `ProxyError` (404 unknown model,
   * 429 the client's limit, 503 no node or no place) or with `signal.reason` when the client leaves.
   * @param client Who asks: an API key's digest, or an address.
   */
  admit(wanted: Wanted, client: string, signal: AbortSignal): Admitted | Promise<Admitted> {
    const mustWait = this.#waiting.size > 0 && this.#queuedBefore(wanted, client);
    const got = mustWait ? "cluster" : this.#try(wanted, client);
    if (got instanceof Admitted) return got;
    return this.#wait(wanted, client, got, signal);
  }

  #queuedBefore(wanted: Wanted, client: string): boolean {
    for (const waiter of this.#waiting) {
      if (waiter.wanted.model !== wanted.model || waiter.wanted.role !== wanted.role) continue;
      // One held back by its own limit does not hold others back.
      if (waiter.blockedBy !== "client" || waiter.client === client) return true;
    }
    return false;
  }

  #try(wanted: Wanted, client: string): Admitted | Blocked {
    const { maxConcurrency, maxPerClient } = this.#options;
    if ((this.#perClient.get(client) ?? 0) >= maxPerClient) return "client";
    if (this.#running >= maxConcurrency) return "cluster";
    const lease = this.#registry.acquire(wanted);
    if (typeof lease === "string") return this.#blocked(lease, wanted);
    this.#enter(client);
    return new Admitted(lease, () => this.#leave(client));
  }

  #blocked(none: NoNode, wanted: Wanted): Blocked {
    if (none === "full") return "cluster";
    if (none === "starting") return "starting";
    throw none === "unknown_model"
      ? unknownModel(wanted.model, this.#registry.models())
      : noNode(wanted.model);
  }

  #enter(client: string): void {
    this.#running += 1;
    if (this.#options.maxPerClient === Number.POSITIVE_INFINITY) return;
    this.#perClient.set(client, (this.#perClient.get(client) ?? 0) + 1);
  }

  #leave(client: string): void {
    this.#running -= 1;
    const left = (this.#perClient.get(client) ?? 0) - 1;
    if (left > 0) this.#perClient.set(client, left);
    else this.#perClient.delete(client);
    this.#pump();
  }

  async #wait(
    wanted: Wanted,
    client: string,
    blockedBy: Blocked,
    signal: AbortSignal,
  ): Promise<Admitted> {
    if (this.#waiting.size >= this.#options.queueSize) throw queueFull(blockedBy, wanted.model);
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<Admitted>();
    const waiter: Waiter = { wanted, client, blockedBy, admit: resolve, refuse: reject };
    this.#waiting.add(waiter);
    const limitMs = blockedBy === "starting" ? STARTING_WAIT_MS : this.#options.queueTimeoutMs;
    const cancel = this.#options.after(limitMs, () => reject(waitedTooLong(waiter)));
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      return await promise;
    } finally {
      this.#waiting.delete(waiter);
      cancel();
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Something changed: whoever can go on now does, oldest first, none before another of its model. */
  #pump(): void {
    if (this.#waiting.size === 0 || this.#pumping) return;
    this.#pumping = true;
    const held = new Set<string>();
    for (const waiter of this.#waiting) {
      const queue = `${waiter.wanted.role} ${waiter.wanted.model}`;
      if (held.has(queue)) continue;
      const got = this.#tryWaiting(waiter);
      if (got instanceof Admitted) {
        this.#waiting.delete(waiter);
        waiter.admit(got);
      } else {
        waiter.blockedBy = got;
        if (got !== "client") held.add(queue);
      }
    }
    this.#pumping = false;
  }

  #tryWaiting(waiter: Waiter): Admitted | Blocked {
    try {
      return this.#try(waiter.wanted, waiter.client);
    } catch {
      // Its model has gone meanwhile; it may come back before the wait is over.
      return "starting";
    }
  }
}

/** 404 that names what exists. */
export function unknownModel(model: string | null, known: readonly string[]): ProxyError {
  const exists = known.length === 0 ? "no model is served yet" : `served are: ${known.join(", ")}`;
  const message =
    model === null
      ? "No engine is registered; register one with POST /nodes/add."
      : `The model \`${model}\` does not exist; ${exists}.`;
  return model === null
    ? new ProxyError("service_unavailable", message, { retryAfterS: 1 })
    : new ProxyError("model_not_found", message, { param: "model" });
}

/** 503: the model is known, but none of its nodes can take a request now. */
export function noNode(model: string | null): ProxyError {
  const what = model === null ? "any model" : `the model \`${model}\``;
  return new ProxyError(
    "service_unavailable",
    `No engine that serves ${what} can take requests now; see /nodes/status, and try again.`,
    { retryAfterS: 1 },
  );
}

/** 503: nothing new is taken, and what waits will not get its turn. */
export function shuttingDown(): ProxyError {
  return new ProxyError("service_unavailable", "The proxy is shutting down; try again.", {
    retryAfterS: 1,
    close: true,
  });
}

function queueFull(blockedBy: Blocked, model: string | null): ProxyError {
  if (blockedBy === "client") {
    return new ProxyError(
      "rate_limit_exceeded",
      "You have as many requests running and waiting as the proxy allows; wait for some to end.",
      { retryAfterS: 1 },
    );
  }
  if (blockedBy === "starting") return noNode(model);
  return new ProxyError(
    "service_unavailable",
    "All engines are busy and the queue is full; try again.",
    { retryAfterS: 1 },
  );
}

function waitedTooLong({ blockedBy, wanted }: Waiter): ProxyError {
  if (blockedBy === "starting") return noNode(wanted.model);
  return new ProxyError(
    "service_unavailable",
    "The request waited too long for a free engine; try again.",
    { retryAfterS: 1 },
  );
}
