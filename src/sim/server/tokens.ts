/**
 * A stand-in for a tokenizer: four bytes of a prompt are a token. All of it is a pure function of its
 * input.
 */
import type { BlockHash } from "../model/kv-cache.ts";

const BYTES_PER_TOKEN = 4;

export interface Prompt {
  readonly tokens: number;
  readonly blockHashes: readonly BlockHash[];
  /** Chooses the words of the answer. */
  readonly fingerprint: number;
}

/** Tokens of a text, at least 1. */
export function countTokens(text: string): number {
  return Math.max(1, Math.ceil(Buffer.byteLength(text) / BYTES_PER_TOKEN));
}

/** Prompt of `text` for a model whose KV blocks hold `blockSizeTokens`; models share no blocks. */
export function promptOf(text: string, model: string, blockSizeTokens: number): Prompt {
  const bytes = Buffer.from(text);
  const blockBytes = blockSizeTokens * BYTES_PER_TOKEN;
  const blockHashes: BlockHash[] = [];
  let hash = hashOf(Buffer.from(model), 0);
  for (let start = 0; start + blockBytes <= bytes.length; start += blockBytes) {
    hash = hashOf(bytes.subarray(start, start + blockBytes), hash);
    blockHashes.push(hash);
  }
  const rest = bytes.subarray(blockHashes.length * blockBytes);
  return { tokens: countTokens(text), blockHashes, fingerprint: hashOf(rest, hash) };
}

/** 53 bits, so that it is an exact number. */
function hashOf(bytes: Uint8Array, seed: number): number {
  return Number(BigInt(Bun.hash(bytes, BigInt(seed))) & 0x1f_ffff_ffff_ffffn);
}

/** The id of a token that an answer consists of, below 150,000; equal texts have equal ids. */
export function tokenId(piece: string): number {
  return Bun.hash.xxHash32(piece) % 150_000;
}

/** Token ids as `/v1/encode` and `/tokenize` show them: one for each four bytes. */
export function encode(text: string): readonly number[] {
  const bytes = Buffer.from(text);
  const ids: number[] = [];
  for (let start = 0; start < bytes.length; start += BYTES_PER_TOKEN) {
    let id = 0;
    for (const byte of bytes.subarray(start, start + BYTES_PER_TOKEN)) id = id * 256 + byte;
    ids.push(id);
  }
  return ids;
}

/** The text behind ids made by `encode`. */
export function decode(ids: readonly number[]): string {
  const bytes: number[] = [];
  for (const id of ids) {
    const digits: number[] = [];
    for (let rest = Math.trunc(id); rest > 0; rest = Math.floor(rest / 256))
      digits.unshift(rest % 256);
    bytes.push(...digits);
  }
  return Buffer.from(bytes).toString("utf8");
}
