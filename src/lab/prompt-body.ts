/**
 * Request bodies for a trace: prompts that begin alike have bodies that begin alike. How many bytes a
 * token has differs from text to text, as it does between prose, code and Chinese, and nobody is told.
 */
import { Buffer } from "node:buffer";
import { seededRandom } from "../sim/model/seeded-random.ts";
import type { Prefixes } from "./trace/prefixes.ts";
import type { Trace, TraceRequest } from "./trace/trace.ts";

const OPENING = Buffer.from('{"model":"m","stream":true,"messages":[{"role":"user","content":"');
const CLOSING = Buffer.from('"}]}');
/** Bytes of a token in a text of one kind: from Chinese in UTF-8 and code to English prose. */
const LEAST_TOKEN_BYTES = 2.8;
const MOST_TOKEN_BYTES = 5;
/** How much the next block of a text may differ from the one before in this. */
const DRIFT = 0.2;
const PIECE_BYTES = 48;

export class PromptBodies {
  readonly #blockTokens: number;
  readonly #prefixes: Prefixes;
  /** Bytes of a token in each block; 0: not drawn yet. */
  readonly #tokenBytes: Float64Array;
  #buffer = Buffer.alloc(1 << 16);
  #unlike = 0;

  constructor({ blockTokens, prefixes }: Trace) {
    this.#blockTokens = blockTokens;
    this.#prefixes = prefixes;
    this.#tokenBytes = new Float64Array(prefixes.count + 1);
  }

  /** The body of a request; good until the next is asked for. */
  of({ prefix, inputTokens }: TraceRequest): Uint8Array {
    const worst = OPENING.length + CLOSING.length + Math.ceil(inputTokens * MOST_TOKEN_BYTES);
    if (worst > this.#buffer.length) this.#buffer = Buffer.alloc(2 * worst);
    let at = OPENING.copy(this.#buffer);
    let left = inputTokens;
    let tokenBytes = 0;
    for (const block of this.#prefixes.path(prefix)) {
      if (left <= 0) break;
      tokenBytes = this.#tokenBytesOf(block, tokenBytes);
      const tokens = Math.min(left, this.#blockTokens);
      at = this.#write(String(block), at, Math.round(tokens * tokenBytes));
      left -= tokens;
    }
    if (left > 0) {
      this.#unlike += 1;
      at = this.#write(`u${this.#unlike}`, at, Math.round(left * this.#draw(-this.#unlike)));
    }
    at += CLOSING.copy(this.#buffer, at);
    return this.#buffer.subarray(0, at);
  }

  #write(name: string, at: number, bytes: number): number {
    this.#buffer.fill(`${name} `.padEnd(PIECE_BYTES, "the text of this block "), at, at + bytes);
    return at + bytes;
  }

  #tokenBytesOf(block: number, before: number): number {
    const known = this.#tokenBytes[block] ?? 0;
    if (known > 0) return known;
    const own = this.#draw(block);
    const tokenBytes = before === 0 ? own : before + DRIFT * (own - before);
    this.#tokenBytes[block] = tokenBytes;
    return tokenBytes;
  }

  #draw(of: number): number {
    const random = seededRandom(of * 2_654_435_761);
    return LEAST_TOKEN_BYTES + (MOST_TOKEN_BYTES - LEAST_TOKEN_BYTES) * random();
  }
}
