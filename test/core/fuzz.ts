/**
 * How long and from where the property tests and fuzzers draw: the same inputs every time, unless
 * `FUZZ_SEED` (any integer) and `FUZZ_FACTOR` (times as many runs) say otherwise.
 */
export const FUZZ_SEED = Number(process.env.FUZZ_SEED ?? 1);
const FUZZ_FACTOR = Number(process.env.FUZZ_FACTOR ?? 1);

/** The options of a property with `numRuns` runs. */
export function runs(numRuns: number): { seed: number; numRuns: number } {
  return { seed: FUZZ_SEED, numRuns: numRuns * FUZZ_FACTOR };
}
