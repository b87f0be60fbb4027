import type { NoNode, Wanted } from "../pool/choose.ts";
import type { Lease } from "../pool/lease.ts";
import type { Registry } from "../pool/registry.ts";
import type { Signal } from "../signal.ts";
import { Admitted } from "./admitted.ts";
import { OwnPlaces, type PlaceLimits, type Places } from "./places.ts";
import { noNode, queueFull, shuttingDown, unknownModel, waitedTooLong } from "./refusals.ts";
import { type Blocked, type Waiter, WaitingLine } from "./waiting-line.ts";

export interface AdmissionOptions extends PlaceLimits {
  /** Requests that may wait, 0 or more. */
  readonly queueSize: number;
  /** How long one may wait for a place, ms. */
  readonly queueTimeoutMs: number;
  /** Calls `act` after `ms`; the function returned prevents it. */
  readonly after: (ms: number, act: () => void) => () => void;
  /** Where the places are shared with other processes; left out: they are this one's. */
  readonly places?: Places;
}

/** A node that is about to be ready is waited for this long, ms. */
const STARTING_WAIT_MS = 2_000;

/** Time alone makes nodes routable again (passed over, on trial), and nothing tells: it is looked at. */
const RECHECK_MS = 500;

interface WaitingRequest extends Waiter {
  /** Lets it go on if it can: null when it does, else what still blocks it. */
  readonly goOn: () => Blocked | null;
  readonly refuse: (reason: unknown) => void;
}

/** What a request that cannot go on at once waits for. */
interface Wait<T> {
  readonly wanted: Wanted;
  readonly client: string;
  readonly signal: Signal;
  readonly since: number;
  readonly blockedBy: Blocked;
  readonly attempt: () => T | Blocked | "unavailable";
}

/**
 * Decides when a request may start: limits, and behind them a queue, first in first out per model,
 * whose places are shared out among the clients that want them.
 */
export class Admission {
  readonly #registry: Registry;
  readonly #options: AdmissionOptions;
  readonly #line = new WaitingLine<WaitingRequest>();
  /** Admitted requests that wait for a further step: they have a place, and nobody waits before them. */
  readonly #furtherLine = new WaitingLine<WaitingRequest>();
  readonly #places: Places;
  #running = 0;
  #arrivals = 0;
  #rechecking = false;
  #onQuiet: (() => void)[] = [];

  constructor(registry: Registry, options: AdmissionOptions) {
    this.#registry = registry;
    this.#options = options;
    this.#places = options.places ?? new OwnPlaces(options);
    const pump = () => this.#pump();
    const freed = () => this.#freed();
    registry.subscribe({ leaseEnded: freed, stateChanged: pump, membershipChanged: pump });
    this.#places.others?.listen(pump);
  }

  /** Whether anybody waits at all: `--queue-timeout 0` says no. */
  get mayWait(): boolean {
    return this.#options.queueTimeoutMs > 0;
  }

  /** Requests that wait for a place or a node. */
  get waiting(): number {
    return this.#line.size + this.#furtherLine.size;
  }

  /** Requests that have a place, whether they hold a lease just now or not. */
  get running(): number {
    return this.#running;
  }

  /** Resolves as soon as no request has a place or waits for one. */
  async idle(): Promise<void> {
    while (this.#running > 0 || this.waiting > 0) {
      await new Promise<void>((resume) => this.#onQuiet.push(resume));
    }
  }

  #tellQuiet(): void {
    if (this.#running > 0 || this.waiting > 0) return;
    for (const resume of this.#onQuiet.splice(0)) resume();
  }

  /** Refuses everything that still waits: the proxy is shutting down. */
  close(): void {
    for (const waiter of [...this.#line.all(), ...this.#furtherLine.all()]) {
      waiter.refuse(shuttingDown());
    }
  }

  /**
   * Admits a request, now or when its turn comes. Rejects with a `ProxyError` (404 unknown model,
   * 429 the client's limit, 503 no node or no place) or with `signal.reason` when the client leaves.
   * @param client Who asks: an API key's name, or an address.
   */
  admit(wanted: Wanted, client: string, signal: Signal): Admitted | Promise<Admitted> {
    return this.admitWith(wanted, client, signal, () => this.#registry.acquire(wanted));
  }

  /**
   * The same for requests that do not simply acquire what is wanted: `take` reserves what they need,
   * or gives null when that is not to be reserved yet. `wanted` says in which queue they wait.
   */
  admitWith<L extends Lease | null>(
    wanted: Wanted,
    client: string,
    signal: Signal,
    take: () => L | NoNode,
  ): Admitted<L> | Promise<Admitted<L>> {
    const since = this.#places.others?.now() ?? 0;
    const ahead = this.#line.size === 0 ? null : this.#line.ahead(wanted, client);
    const attempt = () => this.#try(wanted, since, client, take);
    const got = ahead ?? attempt();
    if (typeof got !== "string") return got;
    if (!this.#isKnown(wanted)) throw unknownModel(wanted, this.#registry);
    if (got === "unavailable") throw noNode(wanted);
    return this.#waitInLine({ wanted, client, signal, since, blockedBy: got, attempt });
  }

  /**
   * What `take` gives an admitted request for its next step, now or as soon as there is any. Rejects
   * like `admit`, but not because a queue is full.
   */
  async proceed<L extends Lease | null>(
    wanted: Wanted,
    client: string,
    signal: Signal,
    take: () => L | NoNode,
  ): Promise<{ readonly lease: L }> {
    const attempt = () => {
      const lease = take();
      return typeof lease === "string" ? blockedBy(lease, wanted) : { lease };
    };
    const got = attempt();
    if (got === "unavailable") throw noNode(wanted);
    if (typeof got !== "string") return got;
    const wait = { wanted, client, signal, since: 0, blockedBy: got, attempt };
    return await this.#wait(this.#furtherLine, wait);
  }

  #isKnown({ model, role }: Wanted): boolean {
    if (model !== null) return this.#registry.serves(model);
    return this.#registry.serving(null, role).length > 0;
  }

  /** @param since When the request came, as `OtherQueues` counts it. */
  #try<L extends Lease | null>(
    wanted: Wanted,
    since: number,
    client: string,
    take: () => L | NoNode,
  ): Admitted<L> | Blocked | "unavailable" {
    if (this.#places.others?.isAhead(wanted.model, since) === true) return "cluster";
    const limit = this.#places.take(client);
    if (limit !== null) return limit;
    const lease = take();
    if (typeof lease !== "string") {
      this.#running += 1;
      return new Admitted(lease, client, this.#leave);
    }
    this.#places.give(client);
    return blockedBy(lease, wanted);
  }

  readonly #leave = (client: string): void => {
    this.#running -= 1;
    this.#places.give(client);
    this.#freed();
    this.#tellQuiet();
  };

  async #waitInLine<T extends object>(wait: Wait<T>): Promise<T> {
    const elsewhere = this.#places.others?.waiting ?? 0;
    if (this.#line.size + elsewhere >= this.#options.queueSize) {
      const other = this.#line.toGiveWay(wait.client);
      if (other === null) throw queueFull(wait.blockedBy, wait.wanted);
      other.refuse(queueFull(this.#line.blockedBy(other), other.wanted));
    }
    return await this.#wait(this.#line, wait);
  }

  async #wait<T extends object>(line: WaitingLine<WaitingRequest>, wait: Wait<T>): Promise<T> {
    const { wanted, client, signal, since, blockedBy, attempt } = wait;
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const goOn = () => {
      const got = attempt();
      // Its nodes have gone meanwhile; one may come back before the wait is over.
      if (got === "unavailable") return "starting";
      if (typeof got === "string") return got;
      resolve(got);
      return null;
    };
    const refuse = (reason: unknown) => {
      // At once: nobody may start it any more, not even in this turn.
      line.delete(waiter);
      this.#tellOthers();
      this.#places.others?.pass();
      reject(reason);
    };
    const waiter = { wanted, client, blockedBy, since, arrival: ++this.#arrivals, goOn, refuse };
    line.add(waiter);
    this.#tellOthers();
    // What others gave back before they were told that somebody waits here is theirs to tell no more.
    if (this.#places.others !== null) this.#pump();
    this.#recheckSoon();
    const cancel = this.#limit(line, waiter);
    const onAbort = () => refuse(signal.reason);
    signal.on(onAbort);
    try {
      return await promise;
    } finally {
      cancel();
      signal.off(onAbort);
      this.#tellQuiet();
    }
  }

  /** Refuses `waiter` when its time is over; the function returned prevents it. */
  #limit(line: WaitingLine<WaitingRequest>, waiter: WaitingRequest): () => void {
    const { after, queueTimeoutMs } = this.#options;
    const giveUp = () => waiter.refuse(waitedTooLong(line.blockedBy(waiter), waiter.wanted));
    if (waiter.blockedBy !== "starting") return after(queueTimeoutMs, giveUp);
    let cancel = after(STARTING_WAIT_MS, () => {
      // The node is up, but full, or about to be there: from now on it waits like all the others.
      if (line.blockedBy(waiter) === "starting") giveUp();
      else cancel = after(Math.max(queueTimeoutMs - STARTING_WAIT_MS, 0), giveUp);
    });
    return () => cancel();
  }

  #recheckSoon(): void {
    if (this.#rechecking) return;
    this.#rechecking = true;
    this.#options.after(this.#places.others?.recheckMs ?? RECHECK_MS, () => {
      this.#rechecking = false;
      this.#pump();
      if (this.waiting > 0) this.#recheckSoon();
    });
  }

  /** A place or a node was given back: what nobody here could take is others'. */
  #freed(): void {
    this.#pump();
    this.#places.others?.pass();
  }

  /** Something changed: whoever can go on now does. */
  #pump(): void {
    const before = this.waiting;
    if (before === 0) return;
    let hasGivenUp = false;
    this.#furtherLine.advance((waiter) => waiter.goOn());
    this.#line.advance((waiter) => {
      const got = waiter.goOn();
      hasGivenUp ||= got === "keeper" && waiter.blockedBy === "cluster";
      return got;
    });
    this.#tellOthers();
    // The next one may wait elsewhere, and there may be more than one place, or one that was of no use here.
    if (this.waiting < before || hasGivenUp) this.#places.others?.pass();
  }

  #tellOthers(): void {
    const { others } = this.#places;
    if (others === null) return;
    const awaited = this.#line.awaited();
    const isForAny = awaited.isForAny || this.#furtherLine.size > 0;
    others.waits({ ...awaited, isForAny }, this.#line.size);
  }
}

/** What a request that found no node is held up by; "unavailable" when waiting is not known to help. */
function blockedBy(none: NoNode, { only = null }: Wanted): Blocked | "unavailable" {
  if (none === "full") return only === null ? "cluster" : "keeper";
  return none === "starting" || none === "returning" ? none : "unavailable";
}
