/**
 * One client's request, from its first byte to its answer's last: what logs, metrics and limits need
 * to know of it, written down as it happens and told once, at its end.
 */
import { Bag, type InBag } from "./bag.ts";
import type { Explained, Explainer } from "./choice.ts";
import { cancelled, type ErrorKind, type Rejection } from "./errors.ts";
import { Signal } from "./signal.ts";
import type { Trace } from "./trace.ts";
import type { Usage } from "./usage.ts";

/**
 * How an exchange ended:
 *
 * - `complete`: the client got a whole answer, whatever its status.
 * - `broken`: the answer broke off after it had begun; `error` says by what.
 * - `client_gone`: the client left before.
 * - `refused`: the proxy answered instead of an engine.
 * - `shutdown`: the proxy cut the answer, since it ends.
 * - `cancelled`: an administrator took it off, before its answer began or in the middle.
 */
export type End =
  | { readonly how: "complete" }
  | { readonly how: "broken"; readonly error: ErrorKind }
  | { readonly how: "client_gone" }
  | { readonly how: "refused"; readonly error: ErrorKind; readonly reason?: Rejection | undefined }
  | { readonly how: "shutdown" }
  | { readonly how: "cancelled" };

export const COMPLETE: End = { how: "complete" };
export const CLIENT_GONE: End = { how: "client_gone" };
export const SHUTDOWN: End = { how: "shutdown" };
export const CANCELLED: End = { how: "cancelled" };

/** One request to one node on the way to an answer: a lease, as far as records need it. */
export interface Try {
  readonly node: {
    readonly url: string;
    readonly name: string | null;
    readonly role: string;
    /** Which engine it is; null while that is not known. */
    readonly engine: string | null;
  };
  /** Monotonic, ms. */
  readonly startedAtMs: number;
  /** When the answer's first byte arrived, ms, or null. */
  readonly firstByteAtMs: number | null;
  /** When it ended, ms; null while it is open. */
  readonly endedAtMs: number | null;
  /** Null while it is open. */
  readonly outcome: {
    readonly kind: string;
    readonly status?: number;
    readonly detail?: string;
    readonly usage?: Usage | null;
  } | null;
}

/** All times are monotonic, ms. Whoever finds something out writes it down; nothing else is asked. */
export class Exchange implements InBag, Explainer {
  place = -1;
  readonly id: string;
  readonly request: Request;
  /** The route it came by: its path, with `*` for what is left open. */
  readonly route: string;
  readonly beganAtMs: number;
  /** Who asks: an API key's name (`key:NAME`), or an address; null while that is not known. */
  client: string | null = null;
  /** Null while it is not known, or when none is named. */
  model: string | null = null;
  /** Whether a stream was asked for. */
  stream = false;
  /** Of the request's body, as it comes; what is read in one go counts when it is there. */
  bytesIn = 0;
  /** When its body was there, or null. */
  readAtMs: number | null = null;
  /** Of the answer's body, as handed on. */
  bytesOut = 0;
  /** What the client sees; null while there is no head. */
  status: number | null = null;
  /** When it had a place, or null. */
  admittedAtMs: number | null = null;
  /** When the answer's first piece was there to be handed on, or null. */
  firstByteAtMs: number | null = null;
  /** Longest time between two pieces, ms. */
  longestGapMs = 0;
  /** Of the answer, as handed on. */
  pieces = 0;
  endedAtMs: number | null = null;
  /** The tokens that the answer says it took; null when it does not, or did not come to its end. */
  usage: Usage | null = null;
  readonly tries: Try[] = [];
  /** Whose answer its client gets, the last one's mostly; null while there is none. */
  answeredBy: Try | null = null;
  /** Why the node of each try was chosen, at the same place; null where nobody wants to know. */
  readonly choices: (Explained | null)[] = [];
  /** When the last piece was handed on, ms; only with a first one. */
  lastPieceAtMs = 0;
  /** Its part in a trace; null when nothing is traced. */
  trace: Trace | null = null;
  /** Aborts when its client leaves, or with the error that the client gets when it is cancelled. */
  readonly signal = new Signal();
  /** Why the last try was not followed by another although the rules would have it; null when they would not. */
  notRetried: "no_budget" | "no_node" | null = null;
  #end: End | null = null;
  #choice: Explained | null = null;
  readonly #exchanges: Exchanges;

  constructor(id: string, request: Request, route: string, exchanges: Exchanges) {
    this.id = id;
    this.request = request;
    this.route = route;
    this.#exchanges = exchanges;
    this.beganAtMs = exchanges.now();
  }

  /** How it ended; null while it is open. */
  get ended(): End | null {
    return this.#end;
  }

  /** So many bytes more of its body came; not told of what is read in one go. */
  came(bytes: number): void {
    this.bytesIn += bytes;
  }

  /** Takes it off wherever it is, so that its client gets an error. */
  cancel(): void {
    this.signal.abort(cancelled(this.readAtMs === null));
  }

  /** Its body is there, so many bytes. */
  read(bytes: number): void {
    this.bytesIn = bytes;
    this.readAtMs = this.#exchanges.now();
  }

  /** How long it waited for a place, ms; 0 when it got none. */
  get queuedMs(): number {
    if (this.readAtMs === null || this.admittedAtMs === null) return 0;
    return this.admittedAtMs - this.readAtMs;
  }

  /** It has a place; what it waited for is over. */
  admitted(nowMs = this.#exchanges.now()): void {
    this.admittedAtMs = nowMs;
  }

  /** For those who choose a node for it: itself, if somebody wants to know, else null. */
  get explainer(): Explainer | null {
    return this.#exchanges.explains ? this : null;
  }

  /** A node was chosen for what is tried next. */
  chosen(explained: Explained): void {
    this.#choice = explained;
  }

  /** It is sent to a node. */
  attempt(lease: Try): void {
    this.tries.push(lease);
    this.choices.push(this.#choice);
    this.trace?.attempt();
    this.notRetried = null;
    this.#choice = null;
  }

  /**
   * The client gets an answer with HTTP `status`; the first head counts.
   * @param by The try whose answer it is; null: the proxy's own.
   */
  head(status: number, by: Try | null = null): void {
    this.status ??= status;
    this.answeredBy ??= by;
  }

  /** So many bytes of the answer's body are handed on at `nowMs`. */
  piece(bytes: number, nowMs: number): void {
    if (this.firstByteAtMs === null) this.firstByteAtMs = nowMs;
    else this.longestGapMs = Math.max(this.longestGapMs, nowMs - this.lastPieceAtMs);
    this.lastPieceAtMs = nowMs;
    this.pieces += 1;
    this.bytesOut += bytes;
  }

  /** It is over; the first call counts, others change nothing. */
  end(end: End): void {
    if (this.#end !== null) return;
    this.#end = end;
    this.endedAtMs = this.#exchanges.now();
    this.#exchanges.over(this);
  }
}

export interface ExchangesOptions {
  /** Monotonic clock, ms. */
  readonly now: () => number;
  /** Told what a listener threw: nobody's request fails by it. */
  readonly report: (error: unknown) => void;
}

/** Told of an exchange when it has ended. */
export type ExchangeListener = (exchange: Exchange) => void;

/** All exchanges that are open, and who wants to hear of their ends. */
export class Exchanges {
  readonly now: () => number;
  /** Whether somebody wants to know why nodes are chosen. */
  explains = false;
  readonly #report: (error: unknown) => void;
  readonly #open = new Bag<Exchange>();
  #listeners: readonly ExchangeListener[] = [];
  #onIdle: (() => void)[] = [];

  constructor({ now, report }: ExchangesOptions) {
    this.now = now;
    this.#report = report;
  }

  /** Those that have not ended, in no order. */
  get open(): Iterable<Exchange> & { readonly size: number } {
    return this.#open;
  }

  /** A client's request arrived by `route`; it is open until somebody ends it. */
  begin(id: string, request: Request, route: string): Exchange {
    const exchange = new Exchange(id, request, route, this);
    this.#open.add(exchange);
    return exchange;
  }

  /** Cancels all that run by this id, as clients chose it; returns how many. */
  cancel(id: string): number {
    const meant = [...this.#open].filter((exchange) => exchange.id === id);
    for (const exchange of meant) exchange.cancel();
    return meant.length;
  }

  /** Calls `listener` at every end from now on; the function returned ends that. */
  subscribe(listener: ExchangeListener): () => void {
    this.#listeners = [...this.#listeners, listener];
    return () => {
      this.#listeners = this.#listeners.filter((other) => other !== listener);
    };
  }

  /** Resolves as soon as none is open. */
  async idle(): Promise<void> {
    while (this.#open.size > 0) {
      await new Promise<void>((resume) => this.#onIdle.push(resume));
    }
  }

  /** For an exchange that has just ended, to say so. */
  over(exchange: Exchange): void {
    this.#open.delete(exchange);
    for (const listener of this.#listeners) {
      try {
        listener(exchange);
      } catch (error) {
        this.#report(error);
      }
    }
    if (this.#open.size === 0) for (const resume of this.#onIdle.splice(0)) resume();
  }
}
