import type { Signal } from "../core/signal.ts";

/** What `waiting` resolves to, unless one of `signals` is aborted before: then it rejects with its reason. */
export async function unlessAborted<T>(
  waiting: Promise<T>,
  signals: readonly Signal[],
): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signals.find((signal) => signal.aborted)?.reason);
  for (const signal of signals) {
    if (signal.aborted) onAbort();
    signal.on(onAbort);
  }
  try {
    return await Promise.race([waiting, aborted]);
  } finally {
    for (const signal of signals) signal.off(onAbort);
  }
}
