/**
 * How long a node's answers take beside those of its peers: what is late, slow, or has been waited for long.
 * What is still silent counts by its age: a hung engine ends no request.
 */
import type { Like, Took } from "./answer-record.ts";
import type { Node, OpenRequest } from "./node.ts";

/** Fewer answers than this to the like of a request are nothing to compare with. */
const LEAST_ANSWERS = 3;
/** More than this tell no more. */
const ENOUGH_ANSWERS = 256;
/** A request is late after this many times what nearly all (95 %) of the like took at peers, ... */
const LATE_TIMES = 3;
/** ... but not before this, ms, ... */
export const LATE_LEAST_MS = 2_000;
/**
 * ... and what a prefill takes that finds nothing in the cache, bytes a ms (2,500 tokens a second): the
 * like may have been answered from it.
 */
export const COLD_PREFILL = 10;
/** Whoever gives up after this many times that, and after this long, has waited long. */
const GIVEN_UP_TIMES = 2;
const GIVEN_UP_LEAST_MS = 500;
/** Answers of the last minute are compared; of the last five when nothing newer is there. */
export const RECENT_MS = 60_000;
const LATELY_MS = 300_000;
/** A node is slow when most of its last answers took so many times what 90 % of the like took at peers, ... */
const SLOW_TIMES = 2.5;
/** ... all but this share: one that answers quickly between prompts of which it has nothing in its cache is not, ... */
const SLOW_SHARE = 0.25;
/** ... judged by so many, ... */
const SLOW_MOST = 8;
const SLOW_LEAST = 4;
/** ... and not by anything that nobody would notice, ms. */
const SLOW_LEAST_MS = 50;
/** One that is to show that it is slow no more takes no more than so many times that. */
const TRIAL_TIMES = 1.5;
/** No more nodes than this are looked at closely at a time, the slowest first: each is compared with all others. */
const SUSPECTS = 8;

type Open = Pick<OpenRequest, "asked" | "startedAtMs" | "longestBytes">;

export class PeerTimes {
  readonly #peersOf: (node: Node) => readonly Node[];

  /** @param peersOf The other nodes that serve what a node serves. */
  constructor(peersOf: (node: Node) => readonly Node[]) {
    this.#peersOf = peersOf;
  }

  /**
   * After how long a request that is open on `node` is late: ms, or null when peers have not answered
   * the like, or are in the same trouble.
   * @param bytes Of prompts, that may have to be computed before its first word: engines take them in turn.
   */
  lateAfterMs(
    node: Node,
    { asked, startedAtMs }: Open,
    bytes: number,
    nowMs: number,
  ): number | null {
    const usualMs = this.#usualNowMs(node, asked, startedAtMs, nowMs);
    return usualMs === null ? null : lateAfter(usualMs, bytes);
  }

  /** The same beside what the node itself has answered lately. */
  lateByItselfAfterMs(node: Node, asked: Like, bytes: number, nowMs: number): number | null {
    const took: number[] = [];
    node.conduct.answers.collect(asked, nowMs - LATELY_MS, took);
    return took.length < LEAST_ANSWERS ? null : lateAfter(quantile(took, 0.95), bytes);
  }

  /** Whether a request that was given up had waited long beside what peers take; a long prompt may stand before it. */
  waitedLong(node: Node, { asked, startedAtMs, longestBytes }: Open, nowMs: number): boolean {
    const usualMs = this.#usualNowMs(node, asked, startedAtMs, nowMs);
    if (usualMs === null) return false;
    return nowMs - startedAtMs >= longFor(usualMs) + longestBytes / COLD_PREFILL;
  }

  /**
   * What nearly all of the like takes at peers: of what they have answered since `sentAtMs`, if they go
   * on answering; else, when little is asked, of what they answered lately, unless they keep somebody
   * waiting, too.
   */
  #usualNowMs(node: Node, asked: Like, sentAtMs: number, nowMs: number): number | null {
    const peers = this.#peersOf(node);
    const goOn = peers.some(({ conduct }) => conduct.answers.lastAtMs > nowMs - LATE_LEAST_MS);
    const usualMs = goOn ? this.#usualMs(node, asked, sentAtMs, 0.95) : null;
    if (usualMs !== null) return usualMs;
    const latelyMs = this.#usualMs(node, asked, nowMs - LATELY_MS, 0.95);
    if (latelyMs === null) return null;
    const keepWaiting = peers.some(({ leases }) =>
      [...leases].some(
        ({ firstByteAtMs, startedAtMs }) =>
          firstByteAtMs === null && nowMs - startedAtMs > longFor(latelyMs),
      ),
    );
    return keepWaiting ? null : latelyMs;
  }

  /** Whether the answer to a request on trial came no more slowly than nearly all of the like at peers. */
  passes(node: Node, took: Took, nowMs: number): boolean {
    const usualMs = this.#usualMs(node, took.asked, nowMs - LATELY_MS, 0.9);
    if (usualMs === null || took.tookMs <= Math.max(TRIAL_TIMES * usualMs, SLOW_LEAST_MS))
      return true;
    return took.tookMs <= TRIAL_TIMES * this.#coldMs(node, took, nowMs);
  }

  /**
   * How much slower an answer came than those to the like at peers, 1 when it did not, or when that says
   * nothing; null when they have had none.
   */
  #slowness(node: Node, took: Took, nowMs: number): number | null {
    const usualMs = this.#usualMs(node, took.asked, nowMs - RECENT_MS, 0.9);
    if (usualMs === null) return null;
    const isLong = took.tookMs >= Math.max(SLOW_LEAST_MS, SLOW_TIMES * usualMs);
    const isSlow = isLong && took.tookMs > TRIAL_TIMES * this.#coldMs(node, took, nowMs);
    return isSlow ? took.tookMs / usualMs : 1;
  }

  /**
   * What the longest prompt that an answer had to wait for may take a peer that finds nothing of it in its
   * cache, ms: by the slowest that they have been with such long ones. The like may have been answered
   * from caches.
   */
  #coldMs(node: Node, { longestBytes }: Took, nowMs: number): number {
    const sinceMs = nowMs - LATELY_MS;
    const answers = this.#peersOf(node).map(({ conduct }) => conduct.answers);
    const most = answers.reduce((sofar, one) => Math.max(sofar, one.mostBytes(sinceMs)), 0);
    const fromBytes = Math.min(longestBytes, most) / 2;
    const least = answers.reduce(
      (sofar, one) => Math.min(sofar, one.leastBytesPerMs(sinceMs, fromBytes)),
      Number.POSITIVE_INFINITY,
    );
    const isShown = least !== Number.POSITIVE_INFINITY;
    return longestBytes / (isShown ? Math.max(COLD_PREFILL, least) : COLD_PREFILL);
  }

  /** Those that a closer look may find slow: it costs too much to be taken at all of them. */
  maybeSlow(nodes: readonly Node[], nowMs: number): Node[] {
    const since = nowMs - RECENT_MS;
    const usual = new Map<Node, number>();
    for (const node of nodes) {
      const took = node.conduct.answers.latest(SLOW_MOST, since).map(({ tookMs }) => tookMs);
      if (took.length > 0) usual.set(node, quantile(took, 0.5));
    }
    const groups = Map.groupBy(nodes, ({ models: [model = null] }) => model);
    const suspects = [...groups.values()].flatMap((group) => {
      const sorted = group.flatMap((node) => usual.get(node) ?? []).sort((a, b) => a - b);
      const ofGroup = sorted[Math.floor((sorted.length - 1) / 2)] ?? Number.POSITIVE_INFINITY;
      const leastMs = Math.max(2 * ofGroup, SLOW_LEAST_MS);
      return group.filter(
        (node) => (usual.get(node) ?? 0) >= leastMs || silentSince(node, nowMs) >= SLOW_LEAST,
      );
    });
    return suspects
      .sort(
        (a, b) =>
          (usual.get(b) ?? Number.POSITIVE_INFINITY) - (usual.get(a) ?? Number.POSITIVE_INFINITY),
      )
      .slice(0, SUSPECTS);
  }

  /**
   * How many times slower than its peers `node` is, 1 when it is not slow. What it has not answered
   * yet counts, too, when it is slow already.
   */
  slowness(node: Node, nowMs: number): number {
    const since = nowMs - RECENT_MS;
    const last = node.conduct.answers.latest(SLOW_MOST, since);
    const ratios: number[] = [];
    for (const { asked, longestBytes, startedAtMs, firstByteAtMs, lastResort } of node.leases) {
      if (firstByteAtMs !== null || lastResort || ratios.length === SLOW_MOST) continue;
      const tookMs = nowMs - startedAtMs;
      const slowness = this.#slowness(node, { asked, longestBytes, tookMs }, nowMs);
      if (slowness !== null && slowness > 1) ratios.push(slowness);
    }
    for (const took of last.slice(0, SLOW_MOST - ratios.length)) {
      const slowness = this.#slowness(node, took, nowMs);
      if (slowness !== null) ratios.push(slowness);
    }
    return ratios.length < SLOW_LEAST ? 1 : Math.max(quantile(ratios, SLOW_SHARE), 1);
  }

  /** What `share` of the like took at peers, of what they have answered since `sinceMs`; null for too few. */
  #usualMs(node: Node, asked: Like, sinceMs: number, share: number): number | null {
    const took: number[] = [];
    const peers = this.#peersOf(node);
    // Of hundreds of nodes some tell enough; not the same ones to everybody.
    for (let i = 0; i < peers.length && took.length < ENOUGH_ANSWERS; i += 1) {
      peers[(i + node.slot) % peers.length]?.conduct.answers.collect(asked, sinceMs, took);
    }
    return took.length < LEAST_ANSWERS ? null : quantile(took, share);
  }
}

/** How many requests have waited for their first word on `node` for longer than a late one does. */
function silentSince(node: Node, nowMs: number): number {
  let count = 0;
  for (const { firstByteAtMs, startedAtMs } of node.leases) {
    if (firstByteAtMs === null && nowMs - startedAtMs >= LATE_LEAST_MS) count += 1;
  }
  return count;
}

/** After how long a request is late, where nearly all take `usualMs`, ms. */
function lateAfter(usualMs: number, bytes: number): number {
  return Math.max(LATE_LEAST_MS + bytes / COLD_PREFILL, LATE_TIMES * usualMs);
}

/** What is a long wait, where nearly all take `usualMs`, ms. */
function longFor(usualMs: number): number {
  return Math.max(GIVEN_UP_LEAST_MS, GIVEN_UP_TIMES * usualMs);
}

/** The value below which `share` of `values` lie; not empty. */
function quantile(values: readonly number[], share: number): number {
  // Numbers alone are sorted many times as fast as by a function that compares them.
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)] ?? 0;
}
