/** A session as one model's requests have it: hashes of its name and of the model's. */
export interface SessionOf {
  readonly id: number;
  readonly model: number;
}

/** What a request asks, whichever node gets it, as far as it can be known before it is sent. */
export interface Asked {
  /** Length of the prompt as it stands in the body, bytes, with pictures counted by what they cost beside text; of the whole body unless a strategy in force needs `prompt`. */
  readonly promptBytes: number;
  /**
   * One hash for each block of the prompt's bytes; each stands for its block, all before it, and the
   * model. Empty unless a strategy in force needs them.
   */
  readonly blocks: readonly number[];
  /** Where each of `blocks` ends, bytes from the start of the prompt. */
  readonly blockEnds: readonly number[];
  /** A hash of what should stay on one node (a session, a user), or null. */
  readonly key: number | null;
  /** The session it belongs to, by its own word; null when it names none, or no strategy in force needs it. */
  readonly session: SessionOf | null;
  /** Whether a stream is asked for: then the first word tells of the prefill, else of the whole answer. */
  readonly stream: boolean;
  /** Who asks: an API key's name, or an address; null when that is not known. */
  readonly client: string | null;
  /**
   * `goesOn` from something that one node keeps, or is a `lookup` of it, which runs no model: that
   * a node has it not, or how soon it says so, tells nothing of the node.
   */
  readonly kept: "goesOn" | "lookup" | null;
}

/** A request of which nothing is known. */
export const NOTHING_ASKED: Asked = {
  promptBytes: 0,
  blocks: [],
  blockEnds: [],
  key: null,
  session: null,
  stream: false,
  client: null,
  kept: null,
};

/** What a strategy may know of a node it could choose. */
export interface Candidate {
  /** Requests in flight, plus a decaying charge for answers that failed, so that failing fast is not being idle. */
  readonly load: number;
  /** Relative capability as registered, above 0, or null when not given. */
  readonly speed: number | null;
  /** Mean of the last latencies, ms, or null without history. */
  readonly meanLatencyMs: number | null;
  /** KV-cache usage, fraction, with what was sent since the sample and what failed added, or null without a fresh sample. */
  readonly cacheUsage: number | null;
  /** What one more request is expected to add to `cacheUsage`, fraction. */
  readonly cacheShare: number;
  /** KV-cache usage that it shows for every request that we hold there, over some samples, fraction; 0: nothing is known. */
  readonly usagePerRequest: number;
  /** Share of its normal traffic a node that is being brought in may have, 0.1 to 1. */
  readonly weight: number;
  /** Stays the same as long as the node's address does: a whole number from 0 to 2^32 - 1. */
  readonly id: number;
  /** Which of all requests was the last one it got, counted; 0 when it has had none. */
  readonly lastTurn: number;
  /** How much of this prompt it is expected to have in its prefix cache, bytes. */
  readonly cachedBytes: number;
  /** Prompts sent to it that stand before a new one, not yet computed, less what it has in its cache, bytes. */
  readonly queuedBytes: number;
  /** How much of prompts it computes in a second, learned, bytes; the others' mean without history, else 1. */
  readonly prefillBytesPerS: number;
  /** Requests that come to such a node in a second, over the share of time in which it computes no prompt, 0 or more. */
  readonly delayedPerS: number;
  /** 1 where this request's session is, else 0. */
  readonly home: number;
  /** Sessions that are on it. */
  readonly sessions: number;
}

/**
 * Chooses one of `candidates` (never empty) and returns it. Pure: everything it knows is in what was
 * asked and in the candidates, its only chance is `random` (uniform in [0, 1)), used to break ties.
 */
export interface Strategy {
  <C extends Candidate>(
    asked: Asked,
    candidates: readonly C[],
    random: () => number,
    note?: Note<C>,
  ): C;
  /** What has to be learned for it; left out: nothing but what the pool knows anyway. */
  needs?: readonly Need[];
}

/** Told what each candidate costs that a strategy compares, when somebody wants to know why it was chosen. */
export type Note<C> = (candidate: C, cost: number) => void;

/**
 * What a strategy may ask to be learned: `prompt`: a request's blocks, and which node has them
 * (`cachedBytes`, `queuedBytes`, `prefillBytesPerS`, `delayedPerS`); `key`: what should stay on one node (`Asked.key`);
 * `session`: which session it belongs to (`Asked.session`), and which node has it (`home`, `sessions`).
 */
export type Need = "prompt" | "key" | "session";

/** The mean of what `read` gives for the candidates that have it; `fallback` when none has. */
export function meanOf(
  candidates: readonly Candidate[],
  read: (candidate: Candidate) => number | null,
  fallback: number,
): number {
  let sum = 0;
  let count = 0;
  for (const candidate of candidates) {
    const value = read(candidate);
    if (value === null) continue;
    sum += value;
    count += 1;
  }
  return count === 0 ? fallback : sum / count;
}

/** Costs closer than this, relatively, are a tie: they differ by rounding alone. */
const TIE_TOLERANCE = 1e-9;

/** The candidate of lowest cost; among equals each has the same chance. Throws when there is no candidate. */
export function lowestCost<C extends Candidate>(
  candidates: readonly C[],
  cost: (candidate: C) => number,
  random: () => number,
  note?: Note<C>,
): C {
  let best: C | undefined;
  let bestCost = Number.POSITIVE_INFINITY;
  let ties = 0;
  for (const candidate of candidates) {
    const value = cost(candidate);
    note?.(candidate, value);
    // Most are neither better nor as good.
    if (value - bestCost > TIE_TOLERANCE * bestCost) continue;
    if (best !== undefined && Math.abs(value - bestCost) <= TIE_TOLERANCE * bestCost) {
      ties += 1;
      if (random() * ties < 1) best = candidate;
    } else if (best === undefined || value < bestCost) {
      best = candidate;
      bestCost = value;
      ties = 1;
    }
  }
  if (best === undefined) throw new Error("a strategy needs at least one candidate");
  return best;
}
