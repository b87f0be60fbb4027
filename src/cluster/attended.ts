import { type Clock, pause } from "../core/clock.ts";
import type { Channel } from "./channel.ts";

/** One that gives no sign of life for so long is stopped, or hangs, ms. */
export const SILENT_AFTER_MS = 5_000;
/** Where this process itself stood still, the sign is there already, and is read within this time, ms. */
const GRACE_MS = 1_000;
/** From one sign of life to the next question for one, ms. */
const PAUSE_MS = 1_000;

/** The other process is there and does nothing. */
export class SilentError extends Error {
  override readonly name = "SilentError";
  /** Whether it has been asked, and may do it yet. */
  readonly wasAsked: boolean;

  constructor(wasAsked: boolean) {
    super("the process does not answer");
    this.wasAsked = wasAsked;
  }
}

/**
 * Asks a process that may stand still. What is asked may take its time: an answer is waited for as long as there are
 * signs of life. Without, nothing more is asked until there is one: what was asked is done when it goes on, and
 * whoever asked has been told something else by then.
 */
export class Attended<Question> {
  readonly #channel: Pick<Channel<Question>, "ask" | "there">;
  readonly #clock: Pick<Clock, "after">;
  readonly #waiting = new Set<(error: SilentError) => void>();
  #isAttending = false;
  #isSilent = false;

  constructor(channel: Pick<Channel<Question>, "ask" | "there">, clock: Pick<Clock, "after">) {
    this.#channel = channel;
    this.#clock = clock;
  }

  /** @throws ChannelError, SilentError */
  async ask(question: Question): Promise<unknown> {
    if (this.#isSilent) throw new SilentError(false);
    const { promise: silence, reject } = Promise.withResolvers<never>();
    this.#waiting.add(reject);
    void this.#attend();
    try {
      return await Promise.race([this.#channel.ask(question), silence]);
    } finally {
      this.#waiting.delete(reject);
    }
  }

  async #attend(): Promise<void> {
    if (this.#isAttending) return;
    this.#isAttending = true;
    while (this.#waiting.size > 0) {
      await this.#signOfLife();
      await pause(this.#clock, PAUSE_MS);
    }
    this.#isAttending = false;
  }

  /** Resolves with one, however late, and when the process has gone. */
  async #signOfLife(): Promise<void> {
    let cancel = this.#clock.after(SILENT_AFTER_MS, () => {
      cancel = this.#clock.after(GRACE_MS, () => this.#isSilentNow());
    });
    // Versions before answer that they do not understand.
    await this.#channel.there().catch(() => {});
    cancel();
    this.#isSilent = false;
  }

  #isSilentNow(): void {
    this.#isSilent = true;
    for (const reject of this.#waiting) reject(new SilentError(true));
  }
}
