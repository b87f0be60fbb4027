import {
  type Candidate,
  NOTHING_ASKED,
  type Strategy,
} from "../../../src/core/strategies/strategy.ts";
import { seededRandom } from "../../../src/sim/model/seeded-random.ts";

/** What one open request adds to a node's KV-cache usage here. */
export const SHARE = 0.01;

/** What a test says of a candidate; nothing more is known of it. */
export type Given = Partial<Candidate>;

export function candidate(given: Given = {}): Candidate {
  return {
    load: 0,
    speed: null,
    meanLatencyMs: null,
    cacheUsage: null,
    cacheShare: SHARE,
    usagePerRequest: SHARE,
    weight: 1,
    id: 0,
    lastTurn: 0,
    cachedBytes: 0,
    queuedBytes: 0,
    prefillBytesPerS: 1,
    delayedPerS: 0,
    home: 0,
    sessions: 0,
    ...given,
  };
}

/** Which of `candidates` the strategy chooses when chance says `draw`. */
export function choice(
  strategy: Strategy,
  candidates: readonly Given[],
  draw: () => number = () => 0,
): number {
  const all = candidates.map((given) => candidate(given));
  return all.indexOf(strategy(NOTHING_ASKED, all, draw));
}

interface LoopOptions {
  readonly requests: number;
  /** Requests that are open at any time. */
  readonly inFlight: number;
  readonly seed?: number;
}

/**
 * Sends requests one after another, as many open as allowed, each ending at a random time; a node's
 * load, and its usage if it shows one, follow the requests it has.
 * @returns How many requests each node got.
 */
export function closedLoop(
  strategy: Strategy,
  nodes: readonly Candidate[],
  { requests, inFlight, seed = 1 }: LoopOptions,
): number[] {
  const random = seededRandom(seed);
  const now = nodes.map((node) => ({ ...node }));
  const counts = nodes.map(() => 0);
  const open: number[] = [];
  for (let sent = 0; sent < requests; sent += 1) {
    if (open.length >= inFlight) {
      const [ended] = open.splice(Math.floor(random() * open.length), 1);
      if (ended !== undefined) move(now, ended, -1);
    }
    const chosen = now.indexOf(strategy(NOTHING_ASKED, now, random));
    counts[chosen] = (counts[chosen] ?? 0) + 1;
    open.push(chosen);
    move(now, chosen, +1);
  }
  return counts;
}

function move(nodes: { load: number; cacheUsage: number | null }[], at: number, by: number): void {
  const node = nodes[at];
  if (node === undefined) throw new Error("the strategy chose none of the candidates");
  node.load += by;
  if (node.cacheUsage !== null) node.cacheUsage += by * SHARE;
}

/** `counts` as multiples of an equal share. */
export function shares(counts: readonly number[]): number[] {
  const total = counts.reduce((sum, count) => sum + count, 0);
  return counts.map((count) => (count * counts.length) / total);
}
