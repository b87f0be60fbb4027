import type { HandshakeFailure } from "./handshake.ts";

export interface PairOptions {
  /** One try to connect the two engines; null when they are. Never rejects. */
  readonly handshake: () => Promise<HandshakeFailure | null>;
  /** Tells both engines to forget each other. Never rejects. */
  readonly drop: () => Promise<void>;
  /** Told of every change between connected and not. */
  readonly onChange: (isConnected: boolean) => void;
  /** Told after a try has failed. @param isFirst It was the first of a series. */
  readonly onFailed: (failure: HandshakeFailure, isFirst: boolean) => void;
  /** Monotonic clock, ms. */
  readonly now: () => number;
  /** Calls `act` after `ms`; the function returned prevents it. */
  readonly after: (ms: number, act: () => void) => () => void;
}

/** As `/distserve/connection_warmup` shows it. */
export type PairState = "unconnected" | "connecting" | "connected" | "failed" | "impossible";

/**
 * What has become of the connection that a request was sent over: another one that was sent later has succeeded over
 * it, or it was made anew; null while neither is known.
 */
export type Since = "works" | "anew" | null;

type Phase = Exclude<PairState, "connecting"> | "trying" | "pausing";

/** LMDeploy's proxy tries as often. */
const MOST_TRIES = 8;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;
/** A pair that failed, or that cannot work, is passed over for this long while there are others. */
const REMEMBERED_MS = 60_000;
/** Where there is no other, a pair that cannot work is tried again after this: FAIL may be of the moment. */
const FINAL_RETRY_MS = 1_000;
/** Making it anew did not help: it was not that. Before the next time passes this, doubled each time. */
const FIRST_REMAKE_MS = 1_000;
const LONGEST_REMAKE_MS = 60_000;

/** Whoever waited chooses anew: the pair can be connected at once if both are still there. */
export const DROPPED: HandshakeFailure = {
  reason: "one of them was restarted or removed meanwhile",
  final: false,
  gone: [],
};

/**
 * One prefill and one decode engine, and whether they are connected. There is one try at a time,
 * shared by all who wait; a series of tries goes on by itself until one succeeds, it is over, or the
 * pair is dropped. Pure but for what it is handed.
 */
export class Pair {
  readonly #options: PairOptions;
  #phase: Phase = "unconnected";
  #failure: HandshakeFailure | null = null;
  #failedAtMs = 0;
  #connectedAtMs = 0;
  /** When the latest of the requests that have succeeded was sent, ms. */
  #workedAtMs = Number.NEGATIVE_INFINITY;
  #suspicions = 0;
  /** How often it was made anew because of suspicions; once, where a request has succeeded since: it may fail others. */
  #remakes = 0;
  #tries = 0;
  #stopPause: (() => void) | null = null;
  /** Rises when the pair is dropped: what was under way then is of no more interest. */
  #epoch = 0;
  /** Calls to the engines that have to end before the next ones begin. */
  #busy: Promise<unknown> = Promise.resolve();
  #tryEnded = Promise.withResolvers<HandshakeFailure | null>();
  #seriesEnded = Promise.withResolvers<HandshakeFailure | null>();

  constructor(options: PairOptions) {
    this.#options = options;
  }

  get state(): PairState {
    if (this.#phase === "trying" || this.#phase === "pausing") return "connecting";
    return this.#phase;
  }

  get isConnected(): boolean {
    return this.#phase === "connected";
  }

  /** Requests in a row that failed on it as if it were not connected; none counts when it is new. */
  get suspicions(): number {
    return this.#suspicions;
  }

  /** Why the last try failed; null when none has, or the pair is connected. */
  get failure(): HandshakeFailure | null {
    return this.#failure;
  }

  /** Known to fail: to be passed over while there is another pair. */
  isBad(): boolean {
    if (this.#phase === "pausing") return true;
    if (this.#phase === "trying") return this.#tries > 1;
    return (
      (this.#phase === "failed" || this.#phase === "impossible") &&
      this.#options.now() - this.#failedAtMs < REMEMBERED_MS
    );
  }

  /**
   * One try: the one under way, or the first of a new series. Resolves at once when the pair is
   * connected, or when it failed a moment ago.
   * @param isThere Both engines are known to be there now: one that was not when the last try failed
   *   is no reason to wait for the next.
   */
  connect(isThere = false): Promise<HandshakeFailure | null> {
    switch (this.#phase) {
      case "connected":
        if (this.#suspicions === 0) return Promise.resolve(null);
        this.#remakes += 1;
        break;
      case "trying":
        return this.#tryEnded.promise;
      case "pausing":
        if (!isThere || this.#failure?.gone.length === 0) return Promise.resolve(this.#failure);
        this.#stopPause?.();
        void this.#try();
        return this.#tryEnded.promise;
      case "impossible":
        if (this.#options.now() - this.#failedAtMs < FINAL_RETRY_MS) {
          return Promise.resolve(this.#failure);
        }
        break;
      default:
    }
    this.#begin();
    return this.#tryEnded.promise;
  }

  /** Another process has connected it. */
  adopt(): void {
    if (this.#phase === "unconnected") this.#ended(null);
  }

  /** How the series of tries ends that is under way, or that is begun if there has been none. */
  settled(): Promise<HandshakeFailure | null> {
    if (this.#phase === "unconnected") this.#begin();
    const isUnderWay = this.#phase === "trying" || this.#phase === "pausing";
    return isUnderWay ? this.#seriesEnded.promise : Promise.resolve(this.#failure);
  }

  since(sentAtMs: number): Since {
    if (!this.isConnected) return null;
    if (this.#connectedAtMs > sentAtMs) return "anew";
    return this.#workedAtMs >= sentAtMs ? "works" : null;
  }

  /**
   * A request that was sent at `sentAtMs` failed as it would if the engines did not know each other any more. Returns
   * whether that may be: it is to be made anew, or has been since.
   */
  doubt(sentAtMs: number): boolean {
    const since = this.since(sentAtMs);
    if (since !== null) return since === "anew";
    const leastAgeMs =
      this.#remakes === 0
        ? 0
        : Math.min(FIRST_REMAKE_MS * 2 ** (this.#remakes - 1), LONGEST_REMAKE_MS);
    const ageMs = this.#options.now() - this.#connectedAtMs;
    const isDue = this.isConnected && ageMs >= leastAgeMs;
    if (isDue) this.#suspicions += 1;
    return isDue;
  }

  /** One of its engines may have been replaced: it lost all its requests at once. */
  suspect(): void {
    if (this.isConnected) this.#suspicions += 1;
  }

  /** A request succeeded that was sent at `sentAtMs`. */
  trust(sentAtMs: number): void {
    this.#workedAtMs = Math.max(this.#workedAtMs, sentAtMs);
    this.#suspicions = 0;
    this.#remakes = Math.min(this.#remakes, 1);
  }

  /**
   * Ends the connection, or the tries to make one, and has both engines told; whoever waits is told
   * too. Resolves when the engines have been asked, or could not be.
   */
  drop(): Promise<unknown> {
    const wasUsed = this.#phase !== "unconnected";
    this.#epoch += 1;
    this.#stopPause?.();
    this.#become("unconnected", null);
    this.#tryEnded.resolve(DROPPED);
    this.#seriesEnded.resolve(DROPPED);
    if (wasUsed) this.#busy = this.#busy.then(() => this.#options.drop());
    return this.#busy;
  }

  #begin(): void {
    this.#tries = 0;
    this.#seriesEnded = Promise.withResolvers();
    void this.#try();
  }

  async #try(): Promise<void> {
    const epoch = this.#epoch;
    this.#stopPause = null;
    this.#tries += 1;
    this.#tryEnded = Promise.withResolvers();
    this.#become("trying", this.#failure);
    const trying = this.#busy.then(() => this.#options.handshake());
    this.#busy = trying;
    const failure = await trying;
    if (epoch === this.#epoch) this.#ended(failure);
  }

  #ended(failure: HandshakeFailure | null): void {
    const { now, after } = this.#options;
    const isOver = failure === null || failure.final || this.#tries >= MOST_TRIES;
    if (failure === null) {
      this.#connectedAtMs = now();
      this.#become("connected", null);
    } else {
      this.#failedAtMs = now();
      if (!isOver) {
        const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** (this.#tries - 1), LONGEST_PAUSE_MS);
        this.#stopPause = after(pauseMs, () => void this.#try());
      }
      this.#become(isOver ? (failure.final ? "impossible" : "failed") : "pausing", failure);
    }
    this.#tryEnded.resolve(failure);
    if (isOver) this.#seriesEnded.resolve(failure);
    if (failure !== null) this.#options.onFailed(failure, this.#tries === 1);
  }

  #become(phase: Phase, failure: HandshakeFailure | null): void {
    const was = this.isConnected;
    this.#phase = phase;
    this.#failure = failure;
    this.#suspicions = 0;
    if (was !== this.isConnected) this.#options.onChange(this.isConnected);
  }
}
