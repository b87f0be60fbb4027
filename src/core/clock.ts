/** Time, handed in: what is now, and what is to happen later. Nobody else reads a clock or sets a timer. */
export interface Clock {
  /** Monotonic, ms. */
  readonly now: () => number;
  /** Wall clock, ms since 1970: only for what others say in dates. */
  readonly wallMs: () => number;
  /** Calls `act` once, after `ms`; the function returned prevents it. */
  readonly after: (ms: number, act: () => void) => () => void;
  /** Calls `act` every `ms`; the function returned ends that. */
  readonly every: (ms: number, act: () => void) => () => void;
  /** Calls `act` once all that has arrived by now has had its turn. */
  readonly soon: (act: () => void) => void;
}

/** Resolves after `ms`. */
export function pause({ after }: Pick<Clock, "after">, ms: number): Promise<void> {
  return new Promise((resume) => {
    after(ms, resume);
  });
}

/** Resolves when `task` does, with true, or after `limitMs`, with false; rejects when it does before. */
export async function within(
  { after }: Pick<Clock, "after">,
  limitMs: number,
  task: Promise<unknown>,
): Promise<boolean> {
  const { promise: isLate, resolve } = Promise.withResolvers<boolean>();
  const cancel = after(limitMs, () => resolve(false));
  try {
    return await Promise.race([task.then(() => true), isLate]);
  } finally {
    cancel();
  }
}
