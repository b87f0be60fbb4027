import { Bag, type InBag } from "../core/bag.ts";
import type { Clock } from "../core/clock.ts";
import { ProxyError } from "../core/errors.ts";

/** The limit is kept to this fraction of itself: one timer for all bodies instead of one for each. */
const TICKS = 10;

/** A body on its way in. */
export interface IncomingBody extends InBag {
  /** Gives it up. */
  readonly refuse: (error: ProxyError) => void;
  /** Ticks since something of it came; whoever reads it sets it back. */
  silentTicks: number;
}

/** Refuses bodies of which nothing comes for too long. */
export class SlowBodies {
  readonly #timeoutMs: number;
  readonly #clock: Clock;
  readonly #incoming = new Bag<IncomingBody>();
  #ticking = false;

  /** @param timeoutMs How long one may stand still, ms; up to a tenth more is granted. */
  constructor(timeoutMs: number, clock: Clock) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
  }

  /** A body is awaited from now on, until `end`: it is refused if it stands still. */
  begin(refuse: (error: ProxyError) => void): IncomingBody {
    const body = { place: -1, refuse, silentTicks: 0 };
    this.#incoming.add(body);
    if (!this.#ticking) this.#tickLater();
    return body;
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
      if (body.silentTicks <= TICKS) continue;
      this.#incoming.delete(body);
      body.refuse(tooSlow(this.#timeoutMs));
    }
    if (this.#incoming.size > 0) this.#tickLater();
  }
}

function tooSlow(timeoutMs: number): ProxyError {
  const message = `No more of the body came for ${timeoutMs / 1_000} s; send it faster.`;
  return new ProxyError("request_timeout", message, { close: true });
}
