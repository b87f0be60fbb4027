import type { Asked } from "../strategies/strategy.ts";

/** What of a request makes its answer comparable with others'. */
export type Like = Pick<Asked, "promptBytes" | "stream">;

/** How long the first word of an answer took, ms, and the longest prompt that it may have waited for, bytes. */
export interface Took {
  readonly asked: Like;
  readonly longestBytes: number;
  readonly tookMs: number;
}

/** Good answers that are kept of each node. */
const SIZE = 64;
/** Prompts shorter than this take the same time, bytes. */
const SHORT_BYTES = 4_096;
/** How much longer or shorter a prompt may be for its answer to be compared with another's. */
const LONGER = 4;
const SHORTER = 2;

/** When the first words of a node's last good answers came, and what had been asked. In rings of fixed size. */
export class AnswerRecord {
  readonly #tookMs = new Float64Array(SIZE);
  readonly #atMs = new Float64Array(SIZE);
  readonly #bytes = new Float64Array(SIZE);
  readonly #longestBytes = new Float64Array(SIZE);
  readonly #streams = new Uint8Array(SIZE);
  readonly #clients: (string | null)[] = Array.from({ length: SIZE }, () => null);
  #count = 0;
  #next = 0;
  /** When the last of them came, ms. */
  lastAtMs = Number.NEGATIVE_INFINITY;

  /**
   * The first word of a good answer came at `atMs`, `tookMs` after the request was sent.
   * @param longestBytes Of the prompts that it may have waited for, its own included.
   */
  add(
    { promptBytes, stream, client }: Asked,
    longestBytes: number,
    tookMs: number,
    atMs: number,
  ): void {
    const at = this.#next;
    this.#tookMs[at] = tookMs;
    this.#atMs[at] = atMs;
    this.lastAtMs = atMs;
    this.#bytes[at] = promptBytes;
    this.#longestBytes[at] = longestBytes;
    this.#streams[at] = stream ? 1 : 0;
    this.#clients[at] = client;
    this.#next = (at + 1) % SIZE;
    this.#count = Math.min(this.#count + 1, SIZE);
  }

  /** Adds to `into` what answers to the like of `asked` took that came after `sinceMs`. */
  collect({ promptBytes, stream }: Like, sinceMs: number, into: number[]): void {
    const bytes = Math.max(promptBytes, SHORT_BYTES);
    for (let at = 0; at < this.#count; at += 1) {
      if ((this.#atMs[at] ?? 0) <= sinceMs || this.#streams[at] !== (stream ? 1 : 0)) continue;
      const other = Math.max(this.#bytes[at] ?? 0, SHORT_BYTES);
      if (other * SHORTER >= bytes && other <= bytes * LONGER) into.push(this.#tookMs[at] ?? 0);
    }
  }

  /**
   * The least that answers to streams that came after `sinceMs` had waited for, for each ms that they
   * took, bytes; Infinity when none did.
   * @param fromBytes Those that waited for less do not count: other things took their time.
   */
  leastBytesPerMs(sinceMs: number, fromBytes: number): number {
    let least = Number.POSITIVE_INFINITY;
    for (let at = 0; at < this.#count; at += 1) {
      const bytes = this.#longestBytes[at] ?? 0;
      if ((this.#atMs[at] ?? 0) <= sinceMs || this.#streams[at] === 0 || bytes < fromBytes)
        continue;
      least = Math.min(least, bytes / (this.#tookMs[at] ?? 0));
    }
    return least;
  }

  /** The most that one that came after `sinceMs` had waited for, bytes. */
  mostBytes(sinceMs: number): number {
    let most = 0;
    for (let at = 0; at < this.#count; at += 1) {
      if ((this.#atMs[at] ?? 0) > sinceMs) most = Math.max(most, this.#longestBytes[at] ?? 0);
    }
    return most;
  }

  /** The last answers that came after `sinceMs`, newest first, `most` of them. */
  latest(most: number, sinceMs: number): Took[] {
    const found: Took[] = [];
    for (let back = 1; back <= Math.min(this.#count, most); back += 1) {
      const at = (this.#next - back + SIZE) % SIZE;
      if ((this.#atMs[at] ?? 0) <= sinceMs) break;
      found.push({
        asked: { promptBytes: this.#bytes[at] ?? 0, stream: this.#streams[at] === 1 },
        longestBytes: this.#longestBytes[at] ?? 0,
        tookMs: this.#tookMs[at] ?? 0,
      });
    }
    return found;
  }

  /** Whether a good answer to `client` came after `sinceMs`. */
  servedSince(sinceMs: number, client: string): boolean {
    for (let at = 0; at < this.#count; at += 1) {
      if (this.#clients[at] === client && (this.#atMs[at] ?? 0) > sinceMs) return true;
    }
    return false;
  }

  clear(): void {
    this.#count = 0;
    this.#next = 0;
    this.lastAtMs = Number.NEGATIVE_INFINITY;
    this.#clients.fill(null);
  }
}
