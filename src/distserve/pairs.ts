import type { Node } from "../core/pool/node.ts";
import type { HandshakeFailure } from "./handshake.ts";
import { Pair, type PairOptions, type PairState, type Since } from "./pair.ts";

export interface PairsOptions extends Pick<PairOptions, "now" | "after"> {
  readonly handshake: (prefillId: string, decodeId: string) => Promise<HandshakeFailure | null>;
  readonly drop: (prefillId: string, decodeId: string) => Promise<void>;
  readonly onConnected: (prefillId: string, decodeId: string) => void;
  readonly onFailed: (
    prefillId: string,
    decodeId: string,
    failure: HandshakeFailure,
    isFirst: boolean,
  ) => void;
  /** Whether a request is just fetching blocks over the pair. */
  readonly inUse: (prefill: Node, decode: Node) => boolean;
}

/** A pair as `/distserve/connection_warmup` shows it. */
export interface PairReport {
  readonly prefill: string;
  readonly decode: string;
  readonly state: PairState;
  readonly error: string | null;
}

/** A pair on which so many requests failed in a row is left alone until it has been made anew. */
const MOST_SUSPICIONS = 3;

/** Which prefill engine is connected with which decode engine. */
export class Pairs {
  readonly #options: PairsOptions;
  /** By prefill URL, then by decode URL: a node that leaves and returns meets its own last calls. */
  readonly #pairs = new Map<string, Map<string, Pair>>();
  readonly #connected = new Map<string, number>();

  constructor(options: PairsOptions) {
    this.#options = options;
  }

  /** Whether a request may use the pair now. One under suspicion is made anew once nobody uses it. */
  isConnected(prefill: Node, decode: Node): boolean {
    const pair = this.#find(prefill, decode);
    if (pair === undefined || !pair.isConnected) return false;
    return pair.suspicions === 0 || this.#options.inUse(prefill, decode);
  }

  /** Whether the pair is known to fail; such pairs are passed over while there is another. */
  isBad(prefill: Node, decode: Node): boolean {
    const pair = this.#find(prefill, decode);
    if (pair === undefined) return false;
    const isSuspect = pair.suspicions >= MOST_SUSPICIONS;
    return pair.isBad() || (isSuspect && this.#options.inUse(prefill, decode));
  }

  /** One try, shared by all who ask for it; see `Pair.connect`. Never rejects. */
  connect(prefill: Node, decode: Node): Promise<HandshakeFailure | null> {
    if (this.isConnected(prefill, decode)) return Promise.resolve(null);
    return this.#at(prefill.url, decode.url).connect(!prefill.absent && !decode.absent);
  }

  /** Those that are connected. */
  connected(): [prefillId: string, decodeId: string][] {
    return [...this.#pairs].flatMap(([prefillId, ofPrefill]) =>
      [...ofPrefill]
        .filter(([, pair]) => pair.isConnected)
        .map(([decodeId]): [string, string] => [prefillId, decodeId]),
    );
  }

  /** Another process has connected them; made anew, requests under way there would lose their blocks. */
  adopt(pairs: readonly (readonly [prefillId: string, decodeId: string])[]): void {
    for (const [prefillId, decodeId] of pairs) this.#at(prefillId, decodeId).adopt();
  }

  /** How the tries to connect the pair end. Never rejects. */
  settled(prefill: Node, decode: Node): Promise<HandshakeFailure | null> {
    return this.#at(prefill.url, decode.url).settled();
  }

  report(prefill: Node, decode: Node): PairReport {
    const pair = this.#find(prefill, decode);
    return {
      prefill: prefill.url,
      decode: decode.url,
      state: pair?.state ?? "unconnected",
      error: pair?.failure?.reason ?? null,
    };
  }

  /** With how many engines the node's is connected. */
  count(node: Node): number {
    return this.#connected.get(node.url) ?? 0;
  }

  /** What has become of the pair since a request was sent over it at `sentAtMs`. */
  since(prefill: Node, decode: Node, sentAtMs: number): Since {
    return this.#find(prefill, decode)?.since(sentAtMs) ?? null;
  }

  /** A request failed at the decode node as if the two had lost their connection. Returns whether that may be. */
  doubt(prefill: Node, decode: Node, sentAtMs: number): boolean {
    return this.#find(prefill, decode)?.doubt(sentAtMs) === true;
  }

  /** A node's engine lost all its requests at once, and answers all the same: it may be another one. */
  suspect(node: Node): void {
    for (const { pair } of this.#of(node)) pair.suspect();
  }

  /** A request that was sent to the decode node at `sentAtMs` succeeded. */
  trust(prefill: Node, decode: Node, sentAtMs: number): void {
    this.#find(prefill, decode)?.trust(sentAtMs);
  }

  /** Ends all connections of a node's engine, and has the engines on both sides told. */
  drop(node: Node): void {
    for (const { prefillId, decodeId, pair } of this.#of(node)) {
      void pair.drop().then(() => {
        const ofPrefill = this.#pairs.get(prefillId);
        if (pair.state !== "unconnected" || ofPrefill?.get(decodeId) !== pair) return;
        ofPrefill.delete(decodeId);
        if (ofPrefill.size === 0) this.#pairs.delete(prefillId);
      });
    }
  }

  #of({ url }: Node) {
    return [...this.#pairs].flatMap(([prefillId, ofPrefill]) =>
      [...ofPrefill]
        .filter(([decodeId]) => prefillId === url || decodeId === url)
        .map(([decodeId, pair]) => ({ prefillId, decodeId, pair })),
    );
  }

  #find(prefill: Node, decode: Node): Pair | undefined {
    return this.#pairs.get(prefill.url)?.get(decode.url);
  }

  #at(prefillId: string, decodeId: string): Pair {
    let ofPrefill = this.#pairs.get(prefillId);
    if (ofPrefill === undefined) {
      ofPrefill = new Map();
      this.#pairs.set(prefillId, ofPrefill);
    }
    let pair = ofPrefill.get(decodeId);
    if (pair === undefined) {
      pair = this.#create(prefillId, decodeId);
      ofPrefill.set(decodeId, pair);
    }
    return pair;
  }

  #create(prefillId: string, decodeId: string): Pair {
    const { handshake, drop, now, after, onConnected, onFailed } = this.#options;
    return new Pair({
      now,
      after,
      handshake: () => handshake(prefillId, decodeId),
      drop: () => drop(prefillId, decodeId),
      onFailed: (failure, isFirst) => onFailed(prefillId, decodeId, failure, isFirst),
      onChange: (isConnected) => {
        if (isConnected) onConnected(prefillId, decodeId);
        for (const id of [prefillId, decodeId]) {
          const count = (this.#connected.get(id) ?? 0) + (isConnected ? 1 : -1);
          if (count > 0) this.#connected.set(id, count);
          else this.#connected.delete(id);
        }
      },
    });
  }
}
