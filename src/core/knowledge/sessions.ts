import type { Filled, Knowledge } from "../pool/candidates.ts";
import type { Lease } from "../pool/lease.ts";
import type { Node } from "../pool/node.ts";
import type { RegistryListener } from "../pool/registry-listener.ts";
import type { Asked, SessionOf } from "../strategies/strategy.ts";

/** Sessions that are known at once, in some 20 MB: beyond, the one that was used longest ago is forgotten. */
const MOST_SESSIONS = 100_000;
/** Models, or roles, that one session has nodes for. */
const MOST_PLACES = 8;

/** Where the requests of one session for one model go, in one role. */
interface Place {
  /** 0 for none. */
  readonly model: number;
  node: Node;
}

interface Session {
  readonly id: number;
  usedAtMs: number;
  readonly places: Place[];
  /** In the order of their last use. */
  older: Session | null;
  newer: Session | null;
}

/** Whether a session is from now on where its request is: not on a node on trial, nor where another is compared with. */
export function settles({ trial, insteadOf }: Lease): boolean {
  return !trial && insteadOf === null;
}

/** Which node has which session, in this process or in all of one proxy. */
export interface KeptSessions extends Knowledge {
  /** Sessions that are known. */
  readonly size: number;
  /** Sessions that are on a node, each once for each model. */
  on(node: Node): number;
  /** The session has ended: no node keeps it. */
  finish(id: number): void;
}

export interface SessionsOptions {
  /** Monotonic clock, ms. */
  readonly now: () => number;
  /** A session without a request for so long has ended, ms. */
  readonly idleMs: number;
  /** Left out: 100,000. */
  readonly mostSessions?: number;
}

/** Which node has which session: where its last request went. Kept until it ends, or nobody has used it for long. */
export class Sessions implements KeptSessions {
  readonly #options: Required<SessionsOptions>;
  readonly #sessions = new Map<number, Session>();
  readonly #counts = new Map<Node, number>();
  // A list of their own: a map that keeps the order walks over all that were taken out of it.
  #oldest: Session | null = null;
  #newest: Session | null = null;

  constructor(options: SessionsOptions) {
    this.#options = { mostSessions: MOST_SESSIONS, ...options };
  }

  get size(): number {
    return this.#sessions.size;
  }

  on(node: Node): number {
    this.#forgetIdle(this.#options.now());
    return this.#counts.get(node) ?? 0;
  }

  finish(id: number): void {
    const session = this.#sessions.get(id);
    if (session !== undefined) this.#forget(session);
  }

  fill(candidates: readonly Filled[], { session }: Asked, nowMs: number): void {
    this.#forgetIdle(nowMs);
    const role = candidates[0]?.node.role;
    const home =
      session === null || role === undefined ? null : (this.#place(session, role)?.node ?? null);
    for (const candidate of candidates) {
      candidate.home = candidate.node === home ? 1 : 0;
      candidate.sessions = this.#counts.get(candidate.node) ?? 0;
    }
  }

  readonly listener: RegistryListener = {
    leaseStarted: (lease) => {
      if (settles(lease)) this.#started(lease);
    },
    leaseEnded: ({ asked: { session } }) => {
      const known = session === null ? undefined : this.#sessions.get(session.id);
      if (known !== undefined) this.#use(known);
    },
  };

  /** Where no model is named, there is but one: whatever others call it. */
  #place({ id, model }: SessionOf, role: Node["role"]): Place | undefined {
    const places = this.#sessions.get(id)?.places.filter(({ node }) => node.role === role) ?? [];
    return (
      places.find((place) => place.model === model) ??
      places.find((place) => place.model === 0 || model === 0)
    );
  }

  #started({ asked: { session }, node }: Lease): void {
    if (session === null) return;
    const known = this.#sessions.get(session.id) ?? this.#add(session.id);
    this.#use(known);
    const place = this.#place(session, node.role);
    if (place === undefined) {
      known.places.push({ model: session.model, node });
      this.#count(node, 1);
      const dropped = known.places.length > MOST_PLACES ? known.places.shift() : undefined;
      if (dropped !== undefined) this.#count(dropped.node, -1);
    } else if (place.node !== node) {
      this.#count(place.node, -1);
      place.node = node;
      this.#count(node, 1);
    }
  }

  #add(id: number): Session {
    const session: Session = { id, usedAtMs: 0, places: [], older: null, newer: null };
    this.#sessions.set(id, session);
    if (this.#sessions.size > this.#options.mostSessions && this.#oldest !== null) {
      this.#forget(this.#oldest);
    }
    return session;
  }

  /** It is the last one to be forgotten now. */
  #use(session: Session): void {
    session.usedAtMs = this.#options.now();
    if (session === this.#newest) return;
    this.#unlink(session);
    session.older = this.#newest;
    if (this.#newest !== null) this.#newest.newer = session;
    this.#newest = session;
    this.#oldest ??= session;
  }

  #unlink(session: Session): void {
    const { older, newer } = session;
    if (older !== null) older.newer = newer;
    else if (this.#oldest === session) this.#oldest = newer;
    if (newer !== null) newer.older = older;
    else if (this.#newest === session) this.#newest = older;
    session.older = null;
    session.newer = null;
  }

  #forgetIdle(nowMs: number): void {
    for (let one = this.#oldest; one !== null; one = this.#oldest) {
      if (nowMs - one.usedAtMs < this.#options.idleMs) return;
      this.#forget(one);
    }
  }

  #forget(session: Session): void {
    this.#sessions.delete(session.id);
    this.#unlink(session);
    for (const { node } of session.places) this.#count(node, -1);
  }

  #count(node: Node, by: 1 | -1): void {
    const after = (this.#counts.get(node) ?? 0) + by;
    if (after === 0) this.#counts.delete(node);
    else this.#counts.set(node, after);
  }
}
