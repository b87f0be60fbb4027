import { countsPrompts } from "../engine/kinds.ts";
import type { PrefixCounts } from "../engine/load-signals.ts";
import type { Filled, Knowledge } from "../pool/candidates.ts";
import type { Lease, Outcome } from "../pool/lease.ts";
import type { Node } from "../pool/node.ts";
import type { RegistryListener } from "../pool/registry-listener.ts";
import type { Asked } from "../strategies/strategy.ts";
import { FORGETS_IN_MS, PrefillWork } from "./prefill-work.ts";
import { PrefixCounters } from "./prefix-counters.ts";
import { PrefixIndex } from "./prefix-index.ts";
import { PrefixTrust, type SentPiece, type SentPrompt } from "./prefix-trust.ts";

/**
 * Blocks that the index remembers: 12 MB for up to 32 nodes, 4 MB more for every further 32. They are those
 * of 10,000 prompts of 50 KB.
 */
const ENTRIES = 2 ** 20;
/** What all nodes have shown together counts at each of them as this much of its own, ms of work. */
const PRIOR_MS = 2_000;

interface OfNode {
  readonly node: Node;
  readonly trust: PrefixTrust;
  /** Its answers say how many tokens it had in its cache. */
  tellsCached: boolean;
  readonly counters: PrefixCounters<Sent>;
}

/** What was expected of a request when it was sent. */
interface Sent extends SentPrompt {
  /** How much of its prompt the node was expected to have, bytes. */
  readonly believed: number;
  /** How much it seems to have had, by when the first word came, bytes; null where that tells nothing. */
  seemed: number | null;
}

const NO_PIECES: readonly SentPiece[] = [];

/** The blocks of a prompt that were used at one time. */
interface Piece {
  /** Where they end, blocks from the beginning. */
  readonly depth: number;
  readonly usedAtMs: number;
}

/** Beyond this share of their time, queues would seem never to end. */
const MOST_BUSY = 0.9;
/** More pieces than this are taken for one. */
const MOST_PIECES = 6;

/** What `prefix_aware` needs to know: who has which prefix, what stands before whom, and how fast each is. */
export class PromptKnowledge implements Knowledge {
  readonly #now: () => number;
  readonly #index = new PrefixIndex(ENTRIES);
  readonly #work = new PrefillWork();
  /** By slot. */
  readonly #nodes: (OfNode | undefined)[] = [];
  /** The same, side by side: what a choice reads of every node, among 256 a sixteenth of its time less. */
  readonly #whose: (Node | undefined)[] = [];
  readonly #trusts: (PrefixTrust | undefined)[] = [];
  readonly #sent = new WeakMap<Lease, Sent>();
  /** What the index said of the prompt that was asked for last, by slot and by block. */
  #walked: Asked | null = null;
  #depths = new Uint16Array(64);
  readonly #usedAtMs: number[] = [];
  #pieces: readonly Piece[] = [];

  /** @param now Monotonic clock, ms. */
  constructor(now: () => number) {
    this.#now = now;
  }

  fill(candidates: readonly Filled[], asked: Asked, nowMs: number): void {
    this.#walk(asked);
    let bytes = 0;
    let busyMs = 0;
    let came = 0;
    let speeds = 0;
    let rated = 0;
    /** What those with a speed of their own were busy, times that speed. */
    let ratedMs = 0;
    let unratedMs = 0;
    const work = this.#work;
    for (const { node } of candidates) {
      const { slot, speed } = node;
      if (this.#whose[slot] !== node) this.#of(node);
      work.fade(slot, nowMs);
      const nodeBusyMs = work.busyMs[slot] ?? 0;
      bytes += work.doneBytes[slot] ?? 0;
      busyMs += nodeBusyMs;
      came += work.came[slot] ?? 0;
      if (speed === null) {
        unratedMs += nodeBusyMs;
      } else {
        ratedMs += nodeBusyMs * speed;
        speeds += speed;
        rated += 1;
      }
    }
    const meanSpeed = rated === 0 ? 1 : speeds / rated;
    const ms = unratedMs + ratedMs / meanSpeed;
    const mean = bytes > 0 && ms > 0 ? bytes / ms : 1;
    const busy = Math.min(busyMs / (FORGETS_IN_MS * candidates.length), MOST_BUSY);
    const delayedPerS = (came * 1_000) / (FORGETS_IN_MS * candidates.length * (1 - busy));
    for (const candidate of candidates) {
      const { node } = candidate;
      const { slot, speed } = node;
      const expected = speed === null ? mean : (mean * speed) / meanSpeed;
      const bytesPerMs = work.bytesPerMs(slot, nowMs, expected, PRIOR_MS);
      candidate.prefillBytesPerS = bytesPerMs * 1_000;
      candidate.delayedPerS = delayedPerS;
      candidate.queuedBytes = work.queuedBytes(slot, nowMs, bytesPerMs);
      const depth = this.#depths[slot] ?? 0;
      const trust = depth === 0 ? undefined : this.#trusts[slot];
      candidate.cachedBytes = trust === undefined ? 0 : this.#believed(trust, depth, asked);
    }
  }

  #walk(asked: Asked): void {
    if (this.#walked === asked) return;
    this.#index.walk(asked.blocks, this.#depths, this.#usedAtMs);
    this.#pieces = piecesOf(this.#usedAtMs);
    this.#walked = asked;
  }

  /** What a node that was sent `depth` blocks is expected to have of the prompt that was walked, bytes. */
  #believed(trust: PrefixTrust, depth: number, { blockEnds }: Asked): number {
    let end = 0;
    let believed = 0;
    for (const piece of this.#pieces) {
      const start = end;
      end = blockEnds[Math.min(depth, piece.depth) - 1] ?? 0;
      believed += (end - start) * trust.believed(trust.ageOf(piece.usedAtMs));
      if (depth <= piece.depth) break;
    }
    return believed;
  }

  #look(node: Node, asked: Asked): Sent {
    const depth = this.#depths[node.slot] ?? 0;
    const { promptBytes } = asked;
    if (depth === 0) return { pieces: NO_PIECES, promptBytes, believed: 0, seemed: null };
    const { trust } = this.#of(node);
    const last = this.#pieces.findIndex((piece) => depth <= piece.depth);
    const pieces = this.#pieces.slice(0, last + 1).map(({ depth: pieceDepth, usedAtMs }) => ({
      end: asked.blockEnds[Math.min(depth, pieceDepth) - 1] ?? 0,
      ageBytes: trust.ageOf(usedAtMs),
    }));
    return { pieces, promptBytes, believed: this.#believed(trust, depth, asked), seemed: null };
  }

  #of(node: Node): OfNode {
    const known = this.#nodes[node.slot];
    if (known?.node === node) return known;
    const fresh = {
      node,
      trust: new PrefixTrust(),
      tellsCached: false,
      counters: new PrefixCounters<Sent>(),
    };
    this.#nodes[node.slot] = fresh;
    this.#whose[node.slot] = node;
    this.#trusts[node.slot] = fresh.trust;
    this.#work.reset(node.slot);
    this.#index.reserve(node.slot);
    if (node.slot >= this.#depths.length) {
      this.#depths = new Uint16Array(2 * node.slot);
      this.#walked = null;
    }
    return fresh;
  }

  #known(node: Node): OfNode | null {
    const known = this.#nodes[node.slot];
    return known?.node === node ? known : null;
  }

  readonly listener: RegistryListener = {
    leaseStarted: (lease) => this.#started(lease),
    firstByte: (lease) => this.#firstByte(lease),
    leaseEnded: (lease, outcome) => this.#ended(lease, outcome),
    nodeRestarted: (node) => this.#forget(node),
    said: (word) => {
      if (word.found === "sampled" && word.sample.prefix !== undefined) {
        this.#counted(word.node, word.sample.prefix);
      }
    },
    nodeRemoved: (node) => {
      if (this.#known(node) === null) return;
      this.#forget(node);
      this.#work.reset(node.slot);
      delete this.#nodes[node.slot];
      delete this.#whose[node.slot];
      delete this.#trusts[node.slot];
    },
  };

  #forget(node: Node): void {
    const known = this.#known(node);
    if (known === null) return;
    known.counters.forget();
    this.#index.forget(node.slot);
    this.#walked = null;
  }

  #started(lease: Lease): void {
    const { node, asked } = lease;
    const nowMs = this.#now();
    const { trust, counters } = this.#of(node);
    this.#walk(asked);
    const sent = this.#look(node, asked);
    this.#sent.set(lease, sent);
    if (countsPrompts(node.engine) === "admitted") counters.add(sent);
    const bytes = Math.max(1, asked.promptBytes - sent.believed);
    this.#work.sent(lease, bytes, nowMs);
    trust.takesIn(bytes, nowMs);
    this.#index.add(node.slot, asked.blocks, nowMs);
    this.#walked = null;
  }

  #firstByte(lease: Lease): void {
    const known = this.#known(lease.node);
    const sent = this.#sent.get(lease);
    if (known === null || sent === undefined) return;
    const nowMs = this.#now();
    const took = this.#work.computed(lease, nowMs);
    if (took === null) return;
    const { promptBytes } = lease.asked;
    let { bytes } = took;
    if (took.bytesPerMs !== null && sent.pieces.length > 0) {
      bytes = known.trust.judge(sent.pieces, promptBytes, took.ms * took.bytesPerMs);
      known.trust.tookIn(bytes - took.bytes);
      sent.seemed = promptBytes - bytes;
    }
    this.#work.did(lease.node.slot, took.othersBytes + bytes, took.ms, nowMs);
  }

  #ended(lease: Lease, outcome: Outcome): void {
    const known = this.#known(lease.node);
    if (known === null) return;
    this.#work.ended(lease, this.#now());
    const sent = this.#sent.get(lease);
    if (sent === undefined || outcome.kind !== "answered") return;
    if (countsPrompts(known.node.engine) === "ended") known.counters.add(sent);
    if (!outcome.usage) return;
    const { promptTokens, cachedTokens } = outcome.usage;
    // vLLM leaves it out of an answer for which it found nothing.
    if (cachedTokens !== null) known.tellsCached = true;
    if (!known.tellsCached || promptTokens === null || promptTokens === 0) return;
    const { promptBytes } = lease.asked;
    const toldBytes = Math.min(1, (cachedTokens ?? 0) / promptTokens) * promptBytes;
    if (!isBelied(sent.seemed, toldBytes, promptBytes)) {
      known.trust.told(sent.pieces, toldBytes, promptBytes);
    }
  }

  /** Its counters were read: they teach of answers that say nothing themselves. */
  #counted(node: Node, counts: PrefixCounts): void {
    const { counters, tellsCached, trust } = this.#of(node);
    const read = counters.read(counts);
    if (read === null || tellsCached) return;
    const { share, prompts } = read;
    let [bytes, seemed] = [0, 0];
    for (const sent of prompts) {
      if (sent.seemed === null) continue;
      bytes += sent.promptBytes;
      seemed += sent.seemed;
    }
    if (!isBelied(seemed, share * bytes, bytes)) trust.counted(prompts, share);
  }
}

/** An engine that says what the time belies: the time counts. @param seemed Null where that tells nothing. */
function isBelied(seemed: number | null, toldBytes: number, promptBytes: number): boolean {
  return seemed !== null && Math.abs(seemed - toldBytes) > promptBytes / 2;
}

/** What was used at one time, from the beginning of a prompt on. @param usedAtMs By block. */
function piecesOf(usedAtMs: readonly number[]): Piece[] {
  const pieces: Piece[] = [];
  for (let depth = usedAtMs.length; depth > 0; depth -= 1) {
    const atMs = usedAtMs[depth - 1] ?? 0;
    if (atMs === pieces.at(-1)?.usedAtMs || pieces.length === MOST_PIECES) continue;
    pieces.push({ depth, usedAtMs: atMs });
  }
  return pieces.reverse();
}
