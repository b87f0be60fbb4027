import type { Lease, Outcome } from "../core/pool/lease.ts";
import { loggedNode, type Node } from "../core/pool/node.ts";
import { isGood } from "../core/pool/statuses.ts";
import { FreeLane, type FreeResult } from "./free-lane.ts";
import { SeenNumbers } from "./seen-numbers.ts";

export interface SessionLedgerOptions {
  /** Asks a prefill node to free a session's blocks. Never rejects. @param session Decimal digits. */
  readonly free: (node: Node, session: string) => Promise<FreeResult>;
  /** A node handed out a number for the second time: its engine is another process than before. */
  readonly onReplaced: (node: Node) => void;
  /** A session of a node has ended, or is freed. */
  readonly onLeft: (node: Node) => void;
  /** Whether a node is registered under the URL. */
  readonly isRegistered: (url: string) => boolean;
  /** Calls `act` after `ms`; the function returned prevents it. */
  readonly after: (ms: number, act: () => void) => () => void;
  readonly warn: (message: string, fields: Readonly<Record<string, string | number>>) => void;
}

interface EngineSessions {
  readonly seen: SeenNumbers;
  /** Sessions that a request still wants. */
  readonly open: Set<Session>;
  /** Sessions that nobody wants any more. */
  readonly lane: FreeLane;
}

/** Whoever was removed and frees nothing is given up after so many pauses, about a minute. */
const PAUSES_AFTER_REMOVAL = 16;

/** The KV blocks that one prefill left on its node. It ends once: handed over, freed, or forgotten. */
export class Session {
  readonly node: Node;
  /** Decimal digits. */
  readonly number: string;
  /** Where its blocks are being fetched; `fetched` ends that. */
  decodingOn: Node | null = null;
  /** Its engine is gone, and its blocks with it. */
  isLost = false;
  readonly #generation: number;
  readonly #end: (session: Session, handedOver: boolean) => void;
  readonly #onFetched: () => void;

  constructor(
    node: Node,
    number: string,
    end: (session: Session, handedOver: boolean) => void,
    onFetched: () => void,
  ) {
    this.node = node;
    this.#generation = node.generation;
    this.number = number;
    this.#end = end;
    this.#onFetched = onFetched;
  }

  /** Its engine registered anew since it was opened, and may be another process. */
  get isDoubtful(): boolean {
    return this.node.generation !== this.#generation;
  }

  /** Its decode node has its blocks, or will not fetch them. */
  fetched(): void {
    this.decodingOn = null;
    this.#onFetched();
  }

  /** Nobody wants its blocks any more. The first end counts. */
  free(): void {
    this.#end(this, false);
  }

  /** The decode engine has fetched them and has told the prefill engine, or they are lost. The first end counts. */
  handedOver(): void {
    this.#end(this, true);
  }
}

/**
 * Every session from the moment its prefill answered until it has ended somewhere. Sessions are
 * numbers of one engine process: when that is another one, they are forgotten and never freed.
 */
export class SessionLedger {
  readonly #options: SessionLedgerOptions;
  /** By URL: a node that was removed and is back meets the sessions of its engine. */
  readonly #byUrl = new Map<string, EngineSessions>();
  /** Answers under way, each with the session that lives as long. */
  readonly #followed = new Map<Lease, Session>();
  /** Prefills nobody waits for any more, but whose sessions have to be learnt. */
  readonly #expected = new Set<Promise<unknown>>();
  /** Called, once each, when blocks are fetched no more. */
  #onFetched: (() => void)[] = [];

  constructor(options: SessionLedgerOptions) {
    this.#options = options;
  }

  /** A prefill answered. @param number Decimal digits. */
  open(node: Node, number: string): Session {
    if (!this.#note(node, number)) {
      this.#options.warn("a session number came twice: the engine has restarted", {
        ...loggedNode(node),
        session: number,
      });
      this.#options.onReplaced(node);
      this.forget(node);
      this.#note(node, number);
    }
    const end = (ended: Session, handedOver: boolean) => this.#end(ended, handedOver);
    const session = new Session(node, number, end, this.#tellFetched);
    this.#of(node).open.add(session);
    return session;
  }

  /** Ends `session` with the lease of its answer: handed over if that was whole and good. */
  follow(session: Session, lease: Lease): void {
    if (lease.outcome === null) this.#followed.set(lease, session);
    else settle(session, lease.outcome);
  }

  /** To be told of every lease that ends. */
  leaseEnded(lease: Lease, outcome: Outcome): void {
    const session = this.#followed.get(lease);
    if (session === undefined) return;
    this.#followed.delete(lease);
    settle(session, outcome);
  }

  /** `prefill` resolves when a prefill has been answered, or will not be. */
  expect(prefill: Promise<unknown>): void {
    this.#expected.add(prefill);
    void prefill.finally(() => this.#expected.delete(prefill));
  }

  /** Sessions of the node that have not ended: with a request, or waiting to be freed. */
  count(node: Node): number {
    const sessions = this.#byUrl.get(node.url);
    return sessions === undefined ? 0 : sessions.open.size + sessions.lane.size;
  }

  /** Whether anything is kept of its engine: sessions, or numbers that it has handed out. */
  knows(node: Node): boolean {
    return this.#byUrl.has(node.url);
  }

  /** Whether a request still wants blocks of the node. */
  isWanted(node: Node): boolean {
    return (this.#byUrl.get(node.url)?.open.size ?? 0) > 0;
  }

  /** Whether the decode node is just fetching blocks of the prefill node. */
  inUse(prefill: Node, decode: Node): boolean {
    for (const session of this.#byUrl.get(prefill.url)?.open ?? []) {
      if (session.decodingOn === decode) return true;
    }
    return false;
  }

  /** Resolves once no request is fetching blocks over the pair. @param isOver Whether nobody waits for it any more. */
  async unused(prefill: Node, decode: Node, isOver: () => boolean): Promise<void> {
    while (!isOver() && this.inUse(prefill, decode)) {
      await new Promise<void>((resume) => this.#onFetched.push(resume));
    }
  }

  readonly #tellFetched = (): void => {
    for (const resume of this.#onFetched.splice(0)) resume();
  };

  /** The engine is gone, or is another process. */
  forget(node: Node): void {
    const sessions = this.#byUrl.get(node.url);
    if (sessions === undefined) return;
    this.#byUrl.delete(node.url);
    for (const session of sessions.open) session.isLost = true;
    sessions.open.clear();
    sessions.lane.forget();
    this.#tellFetched();
  }

  /** Lets go of what is kept of a node that has been removed, once none of its sessions is left. */
  tidy(node: Node): void {
    if (!this.#options.isRegistered(node.url) && this.count(node) === 0) {
      this.#byUrl.delete(node.url);
    }
  }

  /** Tries now to free everything that nobody wants any more. */
  async collect(): Promise<{ readonly freed: number; readonly failed: number }> {
    const lanes = [...this.#byUrl.values()].map(({ lane }) => lane.flush());
    let freed = 0;
    let failed = 0;
    for (const result of await Promise.all(lanes)) {
      freed += result.freed;
      failed += result.failed;
    }
    return { freed, failed };
  }

  /** Resolves when every session has ended, or could not be freed. */
  async close(): Promise<void> {
    await Promise.all(this.#expected);
    await this.collect();
  }

  /** False when the number has been handed out before. */
  #note(node: Node, number: string): boolean {
    const value = Number(number);
    return !Number.isSafeInteger(value) || this.#of(node).seen.add(value);
  }

  #end(session: Session, handedOver: boolean): void {
    const sessions = this.#byUrl.get(session.node.url);
    if (sessions === undefined || !sessions.open.delete(session)) return;
    session.fetched();
    if (!handedOver) sessions.lane.add(session.number);
    this.#options.onLeft(session.node);
  }

  #of(node: Node): EngineSessions {
    let sessions = this.#byUrl.get(node.url);
    if (sessions === undefined) {
      sessions = { seen: new SeenNumbers(), open: new Set(), lane: this.#createLane(node) };
      this.#byUrl.set(node.url, sessions);
    }
    return sessions;
  }

  #createLane(node: Node): FreeLane {
    const { free, after, onLeft, warn } = this.#options;
    const lane = new FreeLane({
      after,
      free: async (session) => {
        const result = await free(node, session);
        const isHopeless =
          result === "failed" &&
          lane.failures >= PAUSES_AFTER_REMOVAL &&
          !this.#options.isRegistered(node.url);
        return isHopeless ? "given_up" : result;
      },
      onLeft: () => onLeft(node),
      onGivenUp: (count) =>
        warn("sessions were given up: the engine does not free their blocks", {
          ...loggedNode(node),
          sessions: count,
        }),
    });
    return lane;
  }
}

function settle(session: Session, outcome: Outcome): void {
  const isWhole = outcome.kind === "answered" && isGood(outcome.status);
  if (isWhole) session.handedOver();
  else session.free();
}
