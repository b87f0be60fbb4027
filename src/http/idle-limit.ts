import { Bag, type InBag } from "../core/bag.ts";
import type { Clock } from "../core/clock.ts";
import { type BunServer, KEEP_ALIVE_S } from "./bun-server.ts";

/** Lifted at a request's second look, so after half of the limit at most. */
const LOOK_EVERY_MS = (KEEP_ALIVE_S * 1_000) / 4;

/** A request whose answer has not ended. */
export interface UnendedRequest extends InBag {
  readonly request: Request;
  isSeen: boolean;
  isLifted: boolean;
}

/**
 * Bun's server closes a connection that stands still for `KEEP_ALIVE_S`, also while an engine thinks.
 * That limit is lifted from requests that stay open, and put back when their answers end. Most end
 * before, and need not pay for lifting it and putting it back.
 */
export class IdleLimit {
  readonly #server: () => Pick<BunServer, "timeout">;
  readonly #open = new Bag<UnendedRequest>();
  readonly #every: Clock["every"];
  #stopLooking: (() => void) | null = null;

  /** @param every See `Clock`. */
  constructor(server: () => Pick<BunServer, "timeout">, every: Clock["every"]) {
    this.#server = server;
    this.#every = every;
  }

  start(): void {
    this.#stopLooking ??= this.#every(LOOK_EVERY_MS, () => this.look());
  }

  stop(): void {
    this.#stopLooking?.();
    this.#stopLooking = null;
  }

  /** The request is open from now on, until `end`, or until its client has left. */
  begin(request: Request): UnendedRequest {
    const open = { place: -1, request, isSeen: false, isLifted: false };
    this.#open.add(open);
    return open;
  }

  /** Its answer has ended; later calls change nothing. */
  end(open: UnendedRequest): void {
    if (open.place < 0) return;
    this.#open.delete(open);
    if (open.isLifted) this.#server().timeout(open.request, KEEP_ALIVE_S);
  }

  /** Lifts the limit from requests that were open at the last look, too. */
  look(): void {
    for (const open of this.#open) {
      if (open.request.signal.aborted) this.#open.delete(open);
      else if (open.isSeen && !open.isLifted) {
        open.isLifted = true;
        this.#server().timeout(open.request, 0);
      }
      open.isSeen = true;
    }
  }
}
