import type { Explained, Weighed } from "../choice.ts";
import type { Candidate } from "../strategies/strategy.ts";
import type { Seen } from "./candidates.ts";

const MOST = 3;

/** The best of one choice, as the strategy compares them; used again for the next. */
export class Ranking {
  readonly #best: Seen[] = [];
  readonly #scores: number[] = [];

  clear(): void {
    this.#best.length = 0;
    this.#scores.length = 0;
  }

  /** The strategy has found that a candidate costs so much. */
  readonly note = (candidate: Seen, cost: number): void => {
    const scores = this.#scores;
    const worst = scores[MOST - 1];
    if (worst !== undefined && !(cost < worst)) return;
    let at = scores.length;
    while (at > 0 && cost < (scores[at - 1] ?? cost)) at -= 1;
    scores.splice(at, 0, cost);
    this.#best.splice(at, 0, candidate);
    if (scores.length <= MOST) return;
    scores.length = MOST;
    this.#best.length = MOST;
  };

  /** The chosen one, and after it the best of the others, as they are just now. */
  weighed(chosen: Seen, nowMs: number): Explained["best"] {
    const at = this.#best.indexOf(chosen);
    // Of many equal ones it may stand behind the third: then it has the score of the first.
    const score = this.#scores[Math.max(at, 0)] ?? null;
    const others = this.#best
      .map((candidate, rank) => ({ candidate, score: this.#scores[rank] ?? null }))
      .filter(({ candidate }) => candidate !== chosen)
      .slice(0, MOST - 1);
    return [
      weighed(chosen, score, nowMs),
      ...others.map((other) => weighed(other.candidate, other.score, nowMs)),
    ];
  }
}

/** A copy: the record is filled again for the next choice. */
function weighed(candidate: Seen, score: number | null, nowMs: number): Weighed {
  const { node } = candidate;
  const seen = {
    load: candidate.load,
    speed: candidate.speed,
    meanLatencyMs: candidate.meanLatencyMs,
    cacheUsage: candidate.cacheUsage,
    cacheShare: candidate.cacheShare,
    usagePerRequest: candidate.usagePerRequest,
    weight: candidate.weight,
    lastTurn: candidate.lastTurn,
    cachedBytes: candidate.cachedBytes,
    queuedBytes: candidate.queuedBytes,
    prefillBytesPerS: candidate.prefillBytesPerS,
    delayedPerS: candidate.delayedPerS,
    home: candidate.home,
    sessions: candidate.sessions,
    // Not its id, which is a hash: nobody can tell anything by it.
  } satisfies Omit<Candidate, "id">;
  return { node: node.label, score, sampleAgeMs: node.cache.ageMs(nowMs), seen };
}
