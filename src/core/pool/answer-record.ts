import type { Asked } from "../strategies/strategy.ts";

/** What of a request makes its answer comparable with others'. */
export type Like = Pick<Asked, "promptBytes" | "stream">;

/** How long the first word of an answer took, ms, and the bytes of prompts before it, its own included. */
export interface Took {
  readonly asked: Like;
  readonly beforeBytes: number;
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
  readonly #beforeBytes = new Float64Array(SIZE);
  readonly #streams = new Uint8Array(SIZE);
  readonly #clients: (string | null)[] = Array.from({ length: SIZE }, () => null);
  #count = 0;
  #next = 0;
  /** When the last of them came, ms. */
  lastAtMs = Number.NEGATIVE_INFINITY;

  /**
   * The first word of a good answer came at `atMs`, `tookMs` after the request was sent.
   * @param beforeBytes Of prompts that may have been computed before it, its own included.
   */
  add(
    { promptBytes, stream, client }: Asked,
    beforeBytes: number,
    tookMs: number,
    atMs: number,
  ): void {
    const at = this.#next;
    this.#tookMs[at] = tookMs;
    this.#atMs[at] = atMs;
    this.lastAtMs = atMs;
    this.#bytes[at] = promptBytes;
    this.#beforeBytes[at] = beforeBytes;
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

  /** The least that went before an answer that came after `sinceMs` for each ms that it took, bytes; Infinity when none did. */
  leastBytesPerMs(sinceMs: number): number {
    let least = Number.POSITIVE_INFINITY;
    for (let at = 0; at < this.#count; at += 1) {
      if ((this.#atMs[at] ?? 0) <= sinceMs || this.#streams[at] === 0) continue;
      least = Math.min(least, (this.#beforeBytes[at] ?? 0) / (this.#tookMs[at] ?? 0));
    }
    return least;
  }

  /** The last answers that came after `sinceMs`, newest first, `most` of them. */
  latest(most: number, sinceMs: number): Took[] {
    const found: Took[] = [];
    for (let back = 1; back <= Math.min(this.#count, most); back += 1) {
      const at = (this.#next - back + SIZE) % SIZE;
      if ((this.#atMs[at] ?? 0) <= sinceMs) break;
      found.push({
        asked: { promptBytes: this.#bytes[at] ?? 0, stream: this.#streams[at] === 1 },
        beforeBytes: this.#beforeBytes[at] ?? 0,
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
