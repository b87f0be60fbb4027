import { Bag, type InBag } from "../core/bag.ts";
import type { Clock } from "../core/clock.ts";
import { ProxyError } from "../core/errors.ts";

/** The limit is kept to this fraction of itself: one timer for all bodies instead of one for each. */
const TICKS = 10;
/** On the whole, at least so much of a body has to come within the time that it may stand still. */
const LEAST_BYTES = 64 * 1024;
/** It is not asked for its rate before, ms: a client may think, or lose a packet. */
const RATE_AFTER_MS = 30_000;

/** A body on its way in. */
export interface IncomingBody extends InBag {
  /** Gives it up. */
  refuse(error: ProxyError): void;
  /** Ticks since something of it came; less than 0 where more are granted. */
  silentTicks: number;
  /** Ticks since it was awaited. */
  ticks: number;
  /** What has come of it. */
  bytes: number;
}

/** Refuses bodies of which nothing comes for too long, or too little all the time. */
export class SlowBodies {
  readonly #timeoutMs: number;
  readonly #rateAfterTicks: number;
  readonly #clock: Clock;
  readonly #incoming = new Bag<IncomingBody>();
  #ticking = false;

  /** @param timeoutMs How long one may stand still, ms; up to a tenth more is granted. */
  constructor(timeoutMs: number, clock: Clock) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
    this.#rateAfterTicks = (RATE_AFTER_MS / timeoutMs) * TICKS;
  }

  /**
   * A body is awaited from now on, until `end`: it is refused if it stands still.
   * @param unseenBytes So many are read in one go: nobody sees how they come, so they have the time
   * that the least rate gives them.
   */
  begin(body: IncomingBody, unseenBytes: number): void {
    body.silentTicks = -Math.ceil(ticksFor(unseenBytes));
    body.bytes = unseenBytes;
    this.#incoming.add(body);
    if (!this.#ticking) this.#tickLater();
  }

  /** So many bytes of it came. */
  came(body: IncomingBody, bytes: number): void {
    body.silentTicks = 0;
    body.bytes += bytes;
  }

  /** It is no longer awaited. Returns false when it has been refused before. */
  end(body: IncomingBody): boolean {
    const isAwaited = body.place >= 0;
    this.#incoming.delete(body);
    return isAwaited;
  }

  /** None of those on their way in is waited for any more. */
  refuseAll(error: ProxyError): void {
    for (const body of this.#incoming) {
      this.#incoming.delete(body);
      body.refuse(error);
    }
  }

  #tickLater(): void {
    this.#ticking = true;
    this.#clock.after(this.#timeoutMs / TICKS, () => this.#tick());
  }

  #tick(): void {
    this.#ticking = false;
    for (const body of this.#incoming) {
      body.silentTicks += 1;
      body.ticks += 1;
      const isLate = body.ticks > this.#rateAfterTicks + ticksFor(body.bytes);
      if (body.silentTicks <= TICKS && !isLate) continue;
      this.#incoming.delete(body);
      body.refuse(tooSlow(this.#timeoutMs));
    }
    if (this.#incoming.size > 0) this.#tickLater();
  }
}

/** How long so many bytes may take. */
function ticksFor(bytes: number): number {
  return (bytes / LEAST_BYTES) * TICKS;
}

function tooSlow(timeoutMs: number): ProxyError {
  const message =
    `The body came too slowly (nothing for ${timeoutMs / 1_000} s, or on the whole fewer than ` +
    `${LEAST_BYTES} bytes in that time); send it faster.`;
  return new ProxyError("request_timeout", message, { close: true });
}
