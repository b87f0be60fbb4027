import type { Wanted } from "./choose.ts";
import { ProxyError } from "./errors.ts";
import type { Lease } from "./lease.ts";
import type { Registry } from "./registry.ts";
import { type Blocked, type Waiter, WaitingLine } from "./waiting-line.ts";

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

/** Time alone makes nodes routable again (passed over, on trial), and nothing tells: it is looked at. */
const RECHECK_MS = 500;

interface WaitingRequest extends Waiter {
  readonly admit: (admitted: Admitted) => void;
  readonly refuse: (error: ProxyError) => void;
}

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
    if (lease.outcome !== null) return;
    this.#holds += 1;
    lease.onEnded = () => this.drop();
  }

  /** One holder less; to be called once by whoever admitted the request. */
  drop(): void {
    this.#holds -= 1;
    if (this.#holds === 0) this.#leave();
  }
}

/** Decides when a request may start: limits, and behind them a queue, first in first out per model. */
export class Admission {
  readonly #registry: Registry;
  readonly #options: AdmissionOptions;
  readonly #line = new WaitingLine<WaitingRequest>();
  readonly #perClient = new Map<string, number>();
  #running = 0;
  #arrivals = 0;
  #rechecking = false;

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
    return this.#line.size;
  }

  /** Refuses everything that still waits: the proxy is shutting down. */
  close(): void {
    for (const waiter of this.#line.all()) waiter.refuse(shuttingDown());
  }

  /**
   * Admits a request, now or when its turn comes. Rejects with a `ProxyError` (404 unknown model,
   * 429 the client's limit, 503 no node or no place) or with `signal.reason` when the client leaves.
   * @param client Who asks: an API key's digest, or an address.
   */
  admit(wanted: Wanted, client: string, signal: AbortSignal): Admitted | Promise<Admitted> {
    const ahead = this.#line.size === 0 ? null : this.#line.ahead(wanted, client);
    const got = ahead ?? this.#try(wanted, client);
    if (got instanceof Admitted) return got;
    if (this.#registry.serving(wanted.model, wanted.role).length === 0) {
      throw unknownModel(wanted.model, this.#registry.models());
    }
    if (got === "unavailable") throw noNode(wanted.model);
    return this.#wait(wanted, client, got, signal);
  }

  #try(wanted: Wanted, client: string): Admitted | Blocked | "unavailable" {
    const { maxConcurrency, maxPerClient } = this.#options;
    if ((this.#perClient.get(client) ?? 0) >= maxPerClient) return "client";
    if (this.#running >= maxConcurrency) return "cluster";
    const lease = this.#registry.acquire(wanted);
    if (lease === "full") return "cluster";
    if (lease === "starting") return "starting";
    if (typeof lease === "string") return "unavailable";
    this.#enter(client);
    return new Admitted(lease, () => this.#leave(client));
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
    if (this.#line.size >= this.#options.queueSize) throw queueFull(blockedBy, wanted.model);
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<Admitted>();
    const arrival = ++this.#arrivals;
    const waiter = { wanted, client, blockedBy, arrival, admit: resolve, refuse: reject };
    this.#line.add(waiter);
    this.#recheckSoon();
    const cancel = this.#limit(waiter);
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      return await promise;
    } finally {
      this.#line.delete(waiter);
      cancel();
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Refuses `waiter` when its time is over; the function returned prevents it. */
  #limit(waiter: WaitingRequest): () => void {
    const { after, queueTimeoutMs } = this.#options;
    const giveUp = () => waiter.refuse(waitedTooLong(this.#line.blockedBy(waiter), waiter.wanted));
    if (waiter.blockedBy !== "starting") return after(queueTimeoutMs, giveUp);
    let cancel = after(STARTING_WAIT_MS, () => {
      // The node is up, but full: from now on it waits like all the others.
      if (this.#line.blockedBy(waiter) === "starting") giveUp();
      else cancel = after(Math.max(queueTimeoutMs - STARTING_WAIT_MS, 0), giveUp);
    });
    return () => cancel();
  }

  #recheckSoon(): void {
    if (this.#rechecking) return;
    this.#rechecking = true;
    this.#options.after(RECHECK_MS, () => {
      this.#rechecking = false;
      this.#pump();
      if (this.#line.size > 0) this.#recheckSoon();
    });
  }

  /** Something changed: whoever can go on now does. */
  #pump(): void {
    if (this.#line.size === 0) return;
    this.#line.advance((waiter) => {
      const got = this.#try(waiter.wanted, waiter.client);
      // Its nodes have gone meanwhile; one may come back before the wait is over.
      if (got === "unavailable") return "starting";
      if (!(got instanceof Admitted)) return got;
      waiter.admit(got);
      return null;
    });
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

function waitedTooLong(blockedBy: Blocked, { model }: Wanted): ProxyError {
  if (blockedBy === "starting") return noNode(model);
  return new ProxyError(
    "service_unavailable",
    "The request waited too long for a free engine; try again.",
    { retryAfterS: 1 },
  );
}
