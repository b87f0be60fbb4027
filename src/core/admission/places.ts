/** A limit that keeps a request from starting. */
export type Limit = "client" | "cluster";

/** The places that requests occupy while they run, and whose turn it is to have the next. */
export interface Places {
  /** Takes a place for a request of `client`, or says which limit keeps it from that. */
  take(client: string): Limit | null;
  give(client: string): void;
  /** What others do with the same places; null when there are no others. */
  readonly others: OtherQueues | null;
}

/** Requests that wait in other processes for the same places. They come before those that came later. */
export interface OtherQueues {
  /** Places that nobody tells of are looked for so often while somebody waits, ms. */
  readonly recheckMs: number;
  /** Now, as all processes count it: whoever has the smaller number has waited longer. */
  now(): number;
  /** Whether somebody waits there for `model` for longer than since `since`. */
  isAhead(model: string | null, since: number): boolean;
  /** What those of ours wait for that are next, and how many wait in all. */
  waits(what: Awaited, waiting: number): void;
  /** We gave something back, or one of ours that waited does so no more: whose turn it is there looks at once. */
  pass(): void;
  /** `look` is called when others do. */
  listen(look: () => void): void;
  /** How many wait elsewhere. */
  readonly waiting: number;
}

/** What those wait for who are next in a process. */
export interface Awaited {
  /** Since when they have waited for a place, by model. */
  readonly since: ReadonlyMap<string | null, number>;
  /** Whether some wait for what has no order over processes: a place of their client's, a further node, or a certain one. */
  readonly isForAny: boolean;
}

export interface PlaceLimits {
  /** Requests in the whole proxy, Infinity for no limit. */
  readonly maxConcurrency: number;
  /** Requests of one client, Infinity for no limit. */
  readonly maxPerClient: number;
}

/** The places of a proxy that is one process. */
export class OwnPlaces implements Places {
  readonly others = null;
  readonly #limits: PlaceLimits;
  readonly #perClient = new Map<string, number>();
  #taken = 0;

  constructor(limits: PlaceLimits) {
    this.#limits = limits;
  }

  take(client: string): Limit | null {
    const { maxConcurrency, maxPerClient } = this.#limits;
    const isCounted = maxPerClient !== Number.POSITIVE_INFINITY;
    const ofClient = isCounted ? (this.#perClient.get(client) ?? 0) : 0;
    if (ofClient >= maxPerClient) return "client";
    if (this.#taken >= maxConcurrency) return "cluster";
    this.#taken += 1;
    if (isCounted) this.#perClient.set(client, ofClient + 1);
    return null;
  }

  give(client: string): void {
    this.#taken -= 1;
    if (this.#perClient.size === 0) return;
    const left = (this.#perClient.get(client) ?? 0) - 1;
    if (left > 0) this.#perClient.set(client, left);
    else this.#perClient.delete(client);
  }
}
