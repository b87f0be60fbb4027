/** A node that has missed one probe is asked again soon: it may be about to be ejected. */
const SUSPECT_PROBE_MS = 1_000;
/** Ejected nodes are probed every second at first, since most of them restart, then less often. */
const EJECTED_PROBE_MS = 1_000;
const EJECTED_FOR_LONG_MS = 60_000;
const EJECTED_FOR_LONG_PROBE_MS = 5_000;
/** A starting engine is about to listen: ask soon, then less and less often. */
const FIRST_STARTING_PROBE_MS = 20;

/**
 * Until a node is probed next, ms.
 * @param starting It has not come up yet.
 * @param outForMs For how long it has been out, ms; null when it is not.
 * @param failures Probes in a row that failed.
 * @param intervalMs Between two probes of one in good health.
 */
export function probeDelayMs(
  starting: boolean,
  outForMs: number | null,
  failures: number,
  intervalMs: number,
): number {
  if (starting) return Math.min(FIRST_STARTING_PROBE_MS * 2 ** Math.min(failures, 6), 1_000);
  if (outForMs === null)
    return failures === 0 ? intervalMs : Math.min(intervalMs, SUSPECT_PROBE_MS);
  return outForMs < EJECTED_FOR_LONG_MS
    ? Math.min(intervalMs, EJECTED_PROBE_MS)
    : EJECTED_FOR_LONG_PROBE_MS;
}
