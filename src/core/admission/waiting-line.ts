import type { Wanted } from "../pool/choose.ts";
import { modelKey } from "../pool/model-index.ts";
import type { Awaited } from "./places.ts";

/**
 * What keeps a request from starting: its client's limit, a full cluster, the one node that it can go to while that is
 * full, a node that is not up yet, or one that is known to be coming back.
 */
export type Blocked = "client" | "cluster" | "keeper" | "starting" | "returning";

/** One who waits. */
export interface Waiter {
  readonly wanted: Wanted;
  readonly client: string;
  /** Rises from one that waits to the next. */
  readonly arrival: number;
  /** When it came, as all processes count it. */
  readonly since: number;
  /** What it waited for when it was last its turn, or when it came. */
  blockedBy: Blocked;
}

/**
 * Those who wait, in the order they came, a queue for each model and role, and for each node that some
 * can only go to. One held back by its
 * client's limit does not hold up those behind it, unless they are the same client's.
 */
export class WaitingLine<W extends Waiter> {
  readonly #queues = new Map<string, Set<W>>();
  /** How many of each client wait. */
  readonly #byClient = new Map<string, number>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** All who wait. */
  all(): W[] {
    return [...this.#queues.values()].flatMap((queue) => [...queue]);
  }

  add(waiter: W): void {
    const key = queueOf(waiter.wanted);
    const queue = this.#queues.get(key);
    if (queue === undefined) this.#queues.set(key, new Set([waiter]));
    else queue.add(waiter);
    this.#size += 1;
    this.#byClient.set(waiter.client, this.#count(waiter.client) + 1);
  }

  /** Takes one out; the first call counts. */
  delete(waiter: W): void {
    const key = queueOf(waiter.wanted);
    const queue = this.#queues.get(key);
    if (queue === undefined || !queue.delete(waiter)) return;
    if (queue.size === 0) this.#queues.delete(key);
    this.#size -= 1;
    const left = this.#count(waiter.client) - 1;
    if (left > 0) this.#byClient.set(waiter.client, left);
    else this.#byClient.delete(waiter.client);
  }

  #count(client: string): number {
    return this.#byClient.get(client) ?? 0;
  }

  /**
   * Who has to make room for a newcomer of `client` when there is none: the last to come of the client
   * that has the most places. Null when that would have no more than the newcomer's then.
   */
  toGiveWay(client: string): W | null {
    let most = this.#count(client) + 1;
    let greediest: string | null = null;
    for (const [other, count] of this.#byClient) {
      if (count <= most) continue;
      most = count;
      greediest = other;
    }
    if (greediest === null) return null;
    let last: W | null = null;
    for (const queue of this.#queues.values()) {
      for (const waiter of queue) {
        const isLater = waiter.arrival > (last?.arrival ?? Number.NEGATIVE_INFINITY);
        if (waiter.client === greediest && isLater) last = waiter;
      }
    }
    return last;
  }

  /** What those wait for whose turn is next: nobody else is let go on. */
  awaited(): Awaited {
    const first = new Map<string | null, number>();
    let isForAny = false;
    for (const queue of this.#queues.values()) {
      for (const { wanted, blockedBy, since } of queue) {
        if (blockedBy === "client" || wanted.tried.size > 0) {
          isForAny = true;
          continue;
        }
        // Others can have what it cannot, though they came later.
        if (blockedBy === "keeper") isForAny = true;
        const before = first.get(wanted.model) ?? Number.POSITIVE_INFINITY;
        if (blockedBy === "cluster") first.set(wanted.model, Math.min(since, before));
        break;
      }
    }
    return { since: first, isForAny };
  }

  /** What those in front of a newcomer of `client` wait for, or null when nobody is in front of it. */
  ahead(wanted: Wanted, client: string): Blocked | null {
    for (const waiter of this.#queues.get(queueOf(wanted)) ?? []) {
      if (waiter.blockedBy !== "client" || waiter.client === client) return waiter.blockedBy;
    }
    return null;
  }

  /** What `waiter` waits for now: its client's limit, or what the first of its queue waits for. */
  blockedBy({ wanted, client, blockedBy }: W): Blocked {
    return blockedBy === "client" ? "client" : (this.ahead(wanted, client) ?? blockedBy);
  }

  /**
   * Lets everybody try whose turn it is; none before another of its queue, but one that has tried
   * nodes already may be held up by what does not hold up others.
   * @param attempt Returns what the waiter is still blocked by, or null when it went on.
   */
  advance(attempt: (waiter: W) => Blocked | null): void {
    for (const queue of this.#oldestFirst()) {
      for (const waiter of queue) {
        const blockedBy = attempt(waiter);
        if (blockedBy === null) {
          this.delete(waiter);
        } else {
          waiter.blockedBy = blockedBy;
          if (blockedBy !== "client" && waiter.wanted.tried.size === 0) break;
        }
      }
    }
  }

  /** The queues, in front the one whose first waiter came first: they may compete for one place. */
  #oldestFirst(): Set<W>[] {
    const queues = [...this.#queues.values()];
    return queues.length < 2 ? queues : queues.sort((a, b) => firstArrival(a) - firstArrival(b));
  }
}

function queueOf({ model, role, only = null }: Wanted): string {
  const key = modelKey(model, role);
  return only === null ? key : `${key} ${only.url}`;
}

/** A queue is never empty. */
function firstArrival(queue: ReadonlySet<Waiter>): number {
  for (const { arrival } of queue) return arrival;
  return Number.POSITIVE_INFINITY;
}
