interface Timer {
  readonly atMs: number;
  readonly act: () => void;
  taken: boolean;
}

/** A clock that moves only when told to, and timers that go off as it does. */
export class VirtualTime {
  nowMs = 0;
  /** The next one last; of two for the same time the one that was set first goes off first. */
  readonly #timers: Timer[] = [];

  readonly now = (): number => this.nowMs;

  readonly after = (ms: number, act: () => void): (() => void) => {
    const timer = { atMs: this.nowMs + ms, act, taken: false };
    let [low, high] = [0, this.#timers.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#timers[middle]?.atMs ?? 0) > timer.atMs) low = middle + 1;
      else high = middle;
    }
    this.#timers.splice(low, 0, timer);
    return () => {
      timer.taken = true;
    };
  };

  /** Timers that have neither gone off nor been taken back. */
  get pending(): number {
    return this.#timers.filter(({ taken }) => !taken).length;
  }

  /** Moves on by `ms`; what is due goes off in order, each at its own time. */
  advance(ms: number): void {
    const untilMs = this.nowMs + ms;
    for (;;) {
      const timer = this.#timers.at(-1);
      if (timer === undefined || timer.atMs > untilMs) break;
      this.#timers.pop();
      this.nowMs = timer.atMs;
      if (!timer.taken) timer.act();
    }
    this.nowMs = untilMs;
  }
}
