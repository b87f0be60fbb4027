/** How freeing one session ended; `gone`: the engine's process has ended, and its blocks with it. */
export type FreeResult = "freed" | "given_up" | "gone" | "failed";

export interface FreeLaneOptions {
  /** Asks the engine to free one session's blocks. Never rejects. @param session Decimal digits. */
  readonly free: (session: string) => Promise<FreeResult>;
  /** Calls `act` after `ms`; the function returned prevents it. */
  readonly after: (ms: number, act: () => void) => () => void;
  /** Called whenever a session has left the lane. */
  readonly onLeft: () => void;
  /** Sessions were given up that nobody has freed. */
  readonly onGivenUp: (count: number) => void;
}

/** Calls under way at a time: an engine that is well gets them quickly, without a flood. */
const MOST_AT_ONCE = 16;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;
/** An engine that keeps refusing to free while it goes on serving must not take all memory. */
const MAX_WAITING = 50_000;
/** More than one, so that the log does not fill either. */
const GIVEN_UP_AT_ONCE = 1_000;

/**
 * The sessions of one prefill engine that are to be freed. A call that fails is made again, with
 * growing pauses during which the engine is left alone, and then one at a time until one succeeds.
 */
export class FreeLane {
  readonly #options: FreeLaneOptions;
  readonly #waiting = new Set<string>();
  readonly #underWay = new Map<string, Promise<FreeResult>>();
  #failures = 0;
  #stopPause: (() => void) | null = null;
  /** Rises when all is forgotten: answers that come later count no more. */
  #epoch = 0;

  constructor(options: FreeLaneOptions) {
    this.#options = options;
  }

  /** Sessions that are not freed yet. */
  get size(): number {
    return this.#waiting.size + this.#underWay.size;
  }

  /** Pauses in a row, without a call that succeeded. */
  get failures(): number {
    return this.#failures;
  }

  /** @param session Decimal digits; one that the engine handed out and nobody has freed. */
  add(session: string): void {
    this.#waiting.add(session);
    if (this.#waiting.size > MAX_WAITING) this.#giveUpOldest();
    this.#advance();
  }

  #giveUpOldest(): void {
    for (const session of [...this.#waiting.values().take(GIVEN_UP_AT_ONCE)]) {
      this.#waiting.delete(session);
    }
    this.#options.onGivenUp(GIVEN_UP_AT_ONCE);
  }

  /** One call for each session that is not freed yet, without waiting for a pause to end. */
  async flush(): Promise<{ readonly freed: number; readonly failed: number }> {
    let freed = 0;
    let failed = 0;
    const sessions = [...this.#waiting, ...this.#underWay.keys()];
    const next = sessions.values();
    const work = async () => {
      for (const session of next) {
        const result = await (this.#underWay.get(session) ?? this.#start(session));
        if (result === "freed") freed += 1;
        else if (result !== null) failed += 1;
      }
    };
    await Promise.all(Array.from({ length: MOST_AT_ONCE }, work));
    return { freed, failed };
  }

  /** The engine is gone, or is another process: none of its numbers means anything any more. */
  forget(): void {
    this.#epoch += 1;
    this.#waiting.clear();
    this.#underWay.clear();
    this.#stopPause?.();
    this.#stopPause = null;
    this.#failures = 0;
  }

  #advance(): void {
    if (this.#stopPause !== null) return;
    const mostAtOnce = this.#failures === 0 ? MOST_AT_ONCE : 1;
    for (const session of this.#waiting) {
      if (this.#underWay.size >= mostAtOnce) return;
      void this.#start(session);
    }
  }

  /** Null when the session is no longer there to be freed. */
  #start(session: string): Promise<FreeResult> | null {
    if (!this.#waiting.delete(session)) return null;
    const epoch = this.#epoch;
    const call = this.#options.free(session).then((result) => {
      if (epoch === this.#epoch) this.#ended(session, result);
      return result;
    });
    this.#underWay.set(session, call);
    return call;
  }

  #ended(session: string, result: FreeResult): void {
    this.#underWay.delete(session);
    if (result === "failed") {
      this.#waiting.add(session);
      this.#pause();
      return;
    }
    this.#failures = 0;
    if (result === "given_up") this.#options.onGivenUp(1);
    this.#options.onLeft();
    this.#advance();
  }

  #pause(): void {
    if (this.#stopPause !== null) return;
    const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** this.#failures, LONGEST_PAUSE_MS);
    this.#failures += 1;
    this.#stopPause = this.#options.after(pauseMs, () => {
      this.#stopPause = null;
      this.#advance();
    });
  }
}
