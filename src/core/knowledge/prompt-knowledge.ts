import { countsPrompts } from "../engine/kinds.ts";
import type { PrefixCounts } from "../engine/load-signals.ts";
import type { Filled, Knowledge } from "../pool/candidates.ts";
import type { Lease, Outcome } from "../pool/lease.ts";
import type { Node } from "../pool/node.ts";
import type { RegistryListener } from "../pool/registry-listener.ts";
import type { Asked } from "../strategies/strategy.ts";
import { HeardPrompts, type KnowsPrompts, type Sent } from "./heard-prompts.ts";
import { FORGETS_IN_MS, PrefillWork } from "./prefill-work.ts";
import { PrefixCounters } from "./prefix-counters.ts";
import { PrefixTrust, type SentPiece } from "./prefix-trust.ts";
import { PrefixWalk } from "./prefix-walk.ts";
import type { OtherProcesses, SentNews } from "./prompt-news.ts";

/** What all nodes have shown together counts at each of them as this much of its own, ms of work. */
const PRIOR_MS = 2_000;

interface OfNode {
  readonly node: Node;
  readonly trust: PrefixTrust;
  /** Its answers say how many tokens it had in its cache. */
  tellsCached: boolean;
  /** What it said last of its cache was likely. */
  isTold: boolean;
  readonly counters: PrefixCounters<Sent>;
}

const NO_PIECES: readonly SentPiece[] = [];

/** Beyond this share of their time, queues would seem never to end. */
const MOST_BUSY = 0.9;

/** What `prefix_aware` needs to know: who has which prefix, what stands before whom, and how fast each is. */
export class PromptKnowledge implements Knowledge, KnowsPrompts {
  readonly #now: () => number;
  readonly #walk = new PrefixWalk();
  readonly #work = new PrefillWork();
  /** By slot. */
  readonly #nodes: (OfNode | undefined)[] = [];
  /** The same, side by side: what a choice reads of every node, among 256 a sixteenth of its time less. */
  readonly #whose: (Node | undefined)[] = [];
  readonly #trusts: (PrefixTrust | undefined)[] = [];
  /** Of leases that have not ended. A weak map would cost every collection something. */
  readonly #sent = new Map<Lease, Sent>();
  #count = 0;
  /** Told what this process does, and heard; null where it is the only one. */
  others: OtherProcesses | null = null;

  /** @param now Monotonic clock, ms. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** For what another process tells. */
  from(): HeardPrompts {
    return new HeardPrompts(this);
  }

  fill(candidates: readonly Filled[], asked: Asked, nowMs: number): void {
    this.others?.catchUp();
    this.#walk.to(asked);
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
      const depth = this.#walk.depth(slot);
      const trust = depth === 0 ? undefined : this.#trusts[slot];
      candidate.cachedBytes = trust === undefined ? 0 : this.#believed(trust, slot, depth, asked);
    }
  }

  /** What a node that was sent `depth` blocks is expected to have of the prompt that was walked, bytes. */
  #believed(trust: PrefixTrust, slot: number, depth: number, { blockEnds }: Asked): number {
    let end = 0;
    let believed = 0;
    for (const piece of this.#walk.pieces(slot)) {
      const start = end;
      end = blockEnds[Math.min(depth, piece.depth) - 1] ?? 0;
      believed += trust.believed(trust.ageOf(piece.usedAtMs), start, end);
      if (depth <= piece.depth) break;
    }
    return believed;
  }

  #look({ slot }: Node, trust: PrefixTrust, asked: Asked): Sent {
    const depth = this.#walk.depth(slot);
    const { promptBytes, stream: streams } = asked;
    const believed = depth === 0 ? 0 : this.#believed(trust, slot, depth, asked);
    const pieces =
      depth === 0 ? NO_PIECES : trust.aged(this.#walk.pieces(slot), depth, asked.blockEnds);
    const bytes = Math.max(1, promptBytes - believed);
    this.#count = (this.#count + 1) | 0;
    return { id: this.#count, slot, streams, promptBytes, seemed: null, pieces, bytes };
  }

  #of(node: Node): OfNode {
    const known = this.#nodes[node.slot];
    if (known?.node === node) return known;
    const fresh = {
      node,
      trust: new PrefixTrust(),
      tellsCached: false,
      isTold: false,
      counters: new PrefixCounters<Sent>(),
    };
    this.#nodes[node.slot] = fresh;
    this.#whose[node.slot] = node;
    this.#trusts[node.slot] = fresh.trust;
    this.#work.reset(node.slot);
    this.#walk.reserve(node.slot);
    return fresh;
  }

  #known(node: Node): OfNode | null {
    const known = this.#nodes[node.slot];
    return known?.node === node ? known : null;
  }

  readonly listener: RegistryListener = {
    // Others may tell of it before this process chooses for the first time.
    nodeAdded: (node) => {
      this.#of(node);
    },
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
    this.#walk.forget(node.slot);
  }

  #started(lease: Lease): void {
    const { node, asked } = lease;
    const nowMs = this.#now();
    const { trust } = this.#of(node);
    this.#walk.to(asked);
    const sent = this.#look(node, trust, asked);
    this.#sent.set(lease, sent);
    this.sent(sent, asked.blocks, nowMs);
    this.others?.sent({ ...sent, blocks: asked.blocks }, nowMs);
  }

  heard({ id, slot, streams, bytes, promptBytes, ...news }: SentNews): Sent | null {
    const trust = this.#trusts[slot];
    if (trust === undefined) return null;
    const pieces = news.pieces.map((piece) => ({
      ...piece,
      ageBytes: trust.ageOf(piece.usedAtMs),
    }));
    // Without its blocks: it is kept until it has ended, and until counters are read.
    return { id, slot, streams, bytes, promptBytes, pieces, seemed: null };
  }

  sent(sent: Sent, blocks: readonly number[], nowMs: number): void {
    const known = this.#nodes[sent.slot];
    if (known === undefined) return;
    if (countsPrompts(known.node.engine) === "admitted") known.counters.add(sent);
    this.#work.sent(sent, nowMs);
    known.trust.used(sent.pieces, sent.promptBytes, nowMs);
    this.#walk.sent(sent.slot, blocks, nowMs);
  }

  #firstByte(lease: Lease): void {
    const known = this.#known(lease.node);
    const sent = this.#sent.get(lease);
    if (known === null || sent === undefined) return;
    // What others had there before it was computed before it.
    this.others?.catchUp();
    const nowMs = this.#now();
    const took = this.#work.computed(sent, nowMs);
    let bytes = 0;
    if (took !== null) {
      bytes = took.othersBytes + took.bytes;
      if (took.bytesPerMs !== null && sent.pieces.length > 0) {
        const own = known.trust.judge(sent, took.ms * took.bytesPerMs, !known.isTold);
        sent.seemed = sent.promptBytes - own;
        bytes = took.othersBytes + own;
      }
      this.#work.did(sent.slot, bytes, took.ms, nowMs);
    }
    this.others?.computed(sent.id, bytes, took?.ms ?? 0, nowMs);
  }

  computed(sent: Sent, bytes: number, ms: number, nowMs: number): void {
    this.#work.computed(sent, nowMs);
    if (bytes > 0) this.#work.did(sent.slot, bytes, ms, nowMs);
  }

  ended(sent: Sent, isAnswered: boolean, nowMs: number): void {
    const known = this.#nodes[sent.slot];
    if (known === undefined) return;
    this.#work.ended(sent, nowMs);
    const isCounted = isAnswered && countsPrompts(known.node.engine) === "ended";
    if (isCounted) known.counters.add(sent);
  }

  #ended(lease: Lease, outcome: Outcome): void {
    const sent = this.#sent.get(lease);
    if (sent === undefined) return;
    this.#sent.delete(lease);
    const known = this.#known(lease.node);
    const nowMs = this.#now();
    const isAnswered = outcome.kind === "answered";
    // Also of a node that was removed meanwhile: others keep the prompt until then. They do not count it.
    this.others?.ended(sent.id, isAnswered && known !== null, nowMs);
    if (known === null) return;
    this.ended(sent, isAnswered, nowMs);
    if (!isAnswered || !outcome.usage) return;
    const { promptTokens, cachedTokens } = outcome.usage;
    // vLLM leaves it out of an answer for which it found nothing.
    if (cachedTokens !== null) known.tellsCached = true;
    if (!known.tellsCached || promptTokens === null || promptTokens === 0) return;
    const { promptBytes } = lease.asked;
    const toldBytes = Math.min(1, (cachedTokens ?? 0) / promptTokens) * promptBytes;
    known.isTold = !isBelied(sent.seemed, toldBytes, promptBytes);
    if (known.isTold) known.trust.told([sent], toldBytes / promptBytes);
  }

  /** Its counters were read: they teach of answers that say nothing themselves. */
  #counted(node: Node, counts: PrefixCounts): void {
    const known = this.#known(node);
    const read = known?.counters.read(counts) ?? null;
    if (known === null || read === null || known.tellsCached) return;
    const { share, prompts } = read;
    let [bytes, seemed] = [0, 0];
    for (const sent of prompts) {
      if (sent.seemed === null) continue;
      bytes += sent.promptBytes;
      seemed += sent.seemed;
    }
    known.isTold = !isBelied(seemed, share * bytes, bytes);
    if (known.isTold) known.trust.told(prompts, share);
  }
}

/** An engine that says what the time belies: the time counts. @param seemed Null where that tells nothing. */
function isBelied(seemed: number | null, toldBytes: number, promptBytes: number): boolean {
  return seemed !== null && Math.abs(seemed - toldBytes) > promptBytes / 2;
}
