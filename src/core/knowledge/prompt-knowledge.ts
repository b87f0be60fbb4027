import type { Filled, Knowledge } from "../pool/candidates.ts";
import type { Lease } from "../pool/lease.ts";
import type { Node } from "../pool/node.ts";
import type { RegistryListener } from "../pool/registry-listener.ts";
import { type Asked, meanOf } from "../strategies/strategy.ts";
import { PrefillWork } from "./prefill-work.ts";
import { PrefixIndex } from "./prefix-index.ts";
import { PrefixTrust } from "./prefix-trust.ts";

/**
 * Blocks that the index remembers: 12 MB for up to 32 nodes, 4 MB more for every further 32. They are those
 * of 10,000 prompts of 50 KB.
 */
const ENTRIES = 2 ** 20;
/** What all nodes have shown together counts at each of them as this much of its own, ms of work. */
const PRIOR_MS = 2_000;

interface OfNode {
  readonly node: Node;
  readonly work: PrefillWork;
  readonly trust: PrefixTrust;
}

/** What was expected of a request when it was sent. */
interface Sent {
  /** What the index said that the node has, and how much was believed, bytes. */
  readonly indexed: number;
  readonly believed: number;
  /** What the node had taken in since that was used last, bytes. */
  readonly ageBytes: number;
}

/** What `prefix_aware` needs to know: who has which prefix, what stands before whom, and how fast each is. */
export class PromptKnowledge implements Knowledge {
  readonly #now: () => number;
  readonly #index = new PrefixIndex(ENTRIES);
  /** By slot. */
  readonly #nodes: (OfNode | undefined)[] = [];
  readonly #sent = new WeakMap<Lease, Sent>();
  /** What the index said of the prompt that was asked for last, by slot and by block. */
  #walked: Asked | null = null;
  #depths = new Uint16Array(64);
  readonly #usedAtMs: number[] = [];

  /** @param now Monotonic clock, ms. */
  constructor(now: () => number) {
    this.#now = now;
  }

  fill(candidates: readonly Filled[], asked: Asked, nowMs: number): void {
    this.#walk(asked);
    const meanSpeed = meanOf(candidates, ({ speed }) => speed, 1);
    let bytes = 0;
    let ms = 0;
    for (const { node, speed } of candidates) {
      const { work } = this.#of(node);
      work.fade(nowMs);
      bytes += work.doneBytes;
      ms += (work.busyMs * (speed ?? meanSpeed)) / meanSpeed;
    }
    const mean = bytes > 0 && ms > 0 ? bytes / ms : 1;
    for (const candidate of candidates) {
      const { node, speed } = candidate;
      const { work } = this.#of(node);
      const expected = (mean * (speed ?? meanSpeed)) / meanSpeed;
      const bytesPerMs = work.bytesPerMs(nowMs, expected, PRIOR_MS);
      candidate.prefillBytesPerS = bytesPerMs * 1_000;
      candidate.queuedBytes = work.queuedBytes(nowMs, bytesPerMs);
      candidate.cachedBytes = this.#depths[node.slot] === 0 ? 0 : this.#look(node, asked).believed;
    }
  }

  #walk(asked: Asked): void {
    if (this.#walked === asked) return;
    this.#index.walk(asked.blocks, this.#depths, this.#usedAtMs);
    this.#walked = asked;
  }

  /** What the node is expected to have of the prompt that was walked. */
  #look(node: Node, { blockEnds }: Asked): Sent {
    const depth = this.#depths[node.slot] ?? 0;
    const { trust } = this.#of(node);
    return trust.look(depth, blockEnds, this.#usedAtMs);
  }

  #of(node: Node): OfNode {
    const known = this.#nodes[node.slot];
    if (known?.node === node) return known;
    const fresh = { node, work: new PrefillWork(), trust: new PrefixTrust() };
    this.#nodes[node.slot] = fresh;
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
    leaseEnded: (lease) => this.#known(lease.node)?.work.ended(lease, this.#now()),
    nodeRestarted: (node) => this.#forget(node),
    nodeRemoved: (node) => {
      this.#forget(node);
      delete this.#nodes[node.slot];
    },
  };

  #forget(node: Node): void {
    if (this.#known(node) === null) return;
    this.#index.forget(node.slot);
    this.#walked = null;
  }

  #started(lease: Lease): void {
    const { node, asked } = lease;
    const nowMs = this.#now();
    const { work, trust } = this.#of(node);
    this.#walk(asked);
    const sent = this.#look(node, asked);
    this.#sent.set(lease, sent);
    const bytes = Math.max(1, asked.promptBytes - sent.believed);
    work.sent(lease, bytes, nowMs);
    trust.takesIn(asked.promptBytes - sent.indexed, nowMs);
    this.#index.add(node.slot, asked.blocks, nowMs);
    this.#walked = null;
  }

  #firstByte(lease: Lease): void {
    const known = this.#known(lease.node);
    const sent = this.#sent.get(lease);
    if (known === null || sent === undefined) return;
    const took = known.work.computed(lease, this.#now());
    if (took === null || sent.indexed === 0) return;
    const { promptBytes } = lease.asked;
    known.trust.judge(sent, promptBytes, took.tookMs * took.bytesPerMs);
  }
}
