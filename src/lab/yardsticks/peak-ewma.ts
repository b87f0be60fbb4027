import type { Candidate } from "../../core/strategies/strategy.ts";
import type { Contestant, Oracle } from "../contestant.ts";
import type { VirtualTime } from "../virtual-time.ts";

/** What is assumed of an engine that has not answered yet, ms, and how fast it forgets, ms: its defaults. */
const FIRST_MS = 30;
const DECAY_MS = 10_000;

interface Ewma {
  ms: number;
  atMs: number;
}

/**
 * Peak EWMA (Finagle, then linkerd and tower): of two candidates drawn by chance the one with the lower
 * average of latencies times requests in flight; the average rises at once and falls slowly. The latency
 * is that of the first byte.
 */
export function peakEwma(_oracle: Oracle, time: VirtualTime): Contestant {
  const ewmas = new Map<number, Ewma>();
  const now = (id: number) => {
    const ewma = ewmas.get(id);
    if (ewma === undefined) return FIRST_MS;
    return ewma.ms * Math.exp((ewma.atMs - time.nowMs) / DECAY_MS);
  };
  const cost = ({ id, load }: Candidate) => now(id) * (load + 1);
  return {
    strategy: (_asked, candidates, random) => {
      const [first, second] = twoOf(candidates, random);
      return cost(first) <= cost(second) ? first : second;
    },
    knowledge: [
      {
        fill: () => {},
        listener: {
          firstByte: ({ node, startedAtMs }) => {
            const tookMs = time.nowMs - startedAtMs;
            const known = ewmas.get(node.id);
            const atMs = time.nowMs;
            if (known === undefined || tookMs > now(node.id)) {
              ewmas.set(node.id, { ms: tookMs, atMs });
            } else {
              const weight = Math.exp((known.atMs - atMs) / DECAY_MS);
              ewmas.set(node.id, { ms: known.ms * weight + tookMs * (1 - weight), atMs });
            }
          },
        },
      },
    ],
  };
}

/** Two different ones, unless there is only one. */
function twoOf<C>(candidates: readonly C[], random: () => number): readonly [C, C] {
  const first = Math.floor(random() * candidates.length);
  const step = 1 + Math.floor(random() * (candidates.length - 1));
  const [a, b] = [candidates[first], candidates[(first + step) % candidates.length]];
  if (a === undefined || b === undefined)
    throw new Error("a strategy needs at least one candidate");
  return [a, b];
}
