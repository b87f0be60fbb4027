/**
 * What of a request's body becomes its prompt, as hashes of its blocks: requests whose first hashes are
 * equal share a prefix, and engines that keep prefixes need not compute it again.
 *
 * Bytes, not tokens: of the model's tokens the proxy knows nothing. Hashes are chained as those of
 * engines are: each stands for all before it, seeded with the model (vLLM's automatic prefix caching;
 * Gateway API inference extension, prefix plugin). The bytes are taken as they stand, escapes and white
 * space included: a client writes its next turn as it wrote the one before.
 */
import { type MemberSpans, nameOf, STRIDE } from "./member-spans.ts";
import type { RequestHead } from "./request-head.ts";

/**
 * A hash of `bytes` from `from` up to `to`, left out: all of them; a whole number from 0 to 2^32 - 1, that
 * depends on `seed`, which is such a number too.
 */
export type Hash = (bytes: Uint8Array, seed: number, from?: number, to?: number) => number;

export interface PromptBlocks {
  /** Length of the prompt as it stands in the body, bytes, with pictures at `PICTURE_SHARE`. */
  readonly promptBytes: number;
  readonly blocks: readonly number[];
  /** Where each block ends, bytes from the start of the prompt, counted alike. */
  readonly blockEnds: readonly number[];
}

export const NO_PROMPT: PromptBlocks = { promptBytes: 0, blocks: [], blockEnds: [] };

/** The least length of a block, bytes: some 60 tokens, about what engines keep or drop as one. */
export const LEAST_BLOCK_BYTES = 256;
/**
 * Where a block begins, shifted by this, is the least length of it: a 32nd of what stands before, so
 * that a prefix is known to 3 % of its length, and a prompt of 1 MiB has 190 blocks.
 */
const GROWTH_SHIFT = 5;

/**
 * What a byte of a picture or of sound in base64 counts beside one of text. A token stands for some 784
 * pixels (28 x 28, Qwen2.5-VL's technical report, arXiv 2502.13923), which take 150 to 300 bytes as JPEG,
 * a third more in base64: beside 4 bytes of text, a 64th.
 */
const PICTURE_SHARE = 1 / 64;
/** Less of a prompt is not looked at: it would hardly be a picture. */
const LEAST_PICTURE_BYTES = 16_384;
/** So many places of a block are looked at, and so many bytes at each: prose has a blank among them. */
const LOOKS = 8;
const LOOK_BYTES = 32;

/** Members that select what the prompt's tokens mean: other weights, other templates, a cache of one's own. */
const SEEDS = ["lora_path", "cache_salt", "chat_template", "chat_template_kwargs"] as const;
/** Members that chat templates write before the messages, in this order. */
const BEFORE = ["tools", "system", "instructions"] as const;
/** Members that hold the prompt itself; a body has one of them. */
const PROMPTS = ["messages", "prompt", "input", "input_ids", "text"] as const;

const READ = [...BEFORE, ...PROMPTS] as const;
const ALL = [...SEEDS, ...READ] as const;

/**
 * The prompt of a scanned body, in blocks. A last piece that fills no block belongs to none, but those of
 * members behind it depend on it.
 */
export function promptBlocks(body: Uint8Array, head: RequestHead, hash: Hash): PromptBlocks {
  const spans = spansOf(body, head.members);
  let seed = hash(encoder.encode(head.model ?? ""), 0);
  for (const name of SEEDS) {
    const [start, end] = spans[name];
    if (start < end) seed = hash(body, seed, start, end);
  }
  const blocks: number[] = [];
  const blockEnds: number[] = [];
  let promptBytes = 0;
  /** What fills no block of the member before. */
  let restStart = 0;
  let restEnd = 0;
  for (const name of READ) {
    const [start, end] = spans[name];
    if (start === end) continue;
    if (restStart < restEnd) seed = hash(body, seed, restStart, restEnd);
    const mayHavePictures = end - start >= LEAST_PICTURE_BYTES;
    let at = start;
    for (;;) {
      const next = at + Math.max(LEAST_BLOCK_BYTES, (at - start) >> GROWTH_SHIFT);
      if (next > end) break;
      seed = hash(body, seed, at, next);
      blocks.push(seed);
      promptBytes += mayHavePictures ? countedBytes(body, at, next) : next - at;
      blockEnds.push(promptBytes);
      at = next;
    }
    promptBytes += mayHavePictures ? countedBytes(body, at, end) : end - at;
    restStart = at;
    restEnd = end;
  }
  return { promptBytes, blocks, blockEnds };
}

/** A piece of a prompt as it counts: what looks like base64 counts little. */
function countedBytes(body: Uint8Array, from: number, to: number): number {
  const length = to - from;
  if (length < LOOKS * LOOK_BYTES) return length;
  let pictures = 0;
  for (let look = 0; look < LOOKS; look += 1) {
    const at = from + Math.floor((look * (length - LOOK_BYTES)) / (LOOKS - 1));
    if (isBase64(body, at, at + LOOK_BYTES)) pictures += 1;
  }
  return Math.ceil(length * (1 - (pictures / LOOKS) * (1 - PICTURE_SHARE)));
}

function isBase64(body: Uint8Array, from: number, to: number): boolean {
  for (let at = from; at < to; at += 1) if (BASE64[body[at] ?? 0] !== 1) return false;
  return true;
}

/** How much of a prompt stands for it where nothing better says what belongs together, bytes. */
const BEGINNING_BYTES = 1024;

/** A hash of the prompt's beginning, seeded with the model; null for a body without a prompt. */
export function promptBeginning(body: Uint8Array, head: RequestHead, hash: Hash): number | null {
  const spans = spansOf(body, head.members);
  for (const name of PROMPTS) {
    const [start, end] = spans[name];
    if (start === end) continue;
    const seed = hash(encoder.encode(head.model ?? ""), 0);
    return hash(body, seed, start, Math.min(end, start + BEGINNING_BYTES));
  }
  return null;
}

const encoder = new TextEncoder();
/** 1 for the bytes of base64, by their codes. */
const BASE64 = new Uint8Array(256);
for (const byte of encoder.encode(
  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=",
)) {
  BASE64[byte] = 1;
}

type Spans = Record<(typeof ALL)[number], readonly [start: number, end: number]>;

const NOWHERE = [0, 0] as const;

/** Where the members stand, the last one of each name, as JSON readers take it. */
function spansOf(body: Uint8Array, members: MemberSpans): Spans {
  const found: Spans = {
    lora_path: NOWHERE,
    cache_salt: NOWHERE,
    chat_template: NOWHERE,
    chat_template_kwargs: NOWHERE,
    tools: NOWHERE,
    system: NOWHERE,
    instructions: NOWHERE,
    messages: NOWHERE,
    prompt: NOWHERE,
    input: NOWHERE,
    input_ids: NOWHERE,
    text: NOWHERE,
  };
  for (let at = 0; at < members.length; at += STRIDE) {
    const name = nameOf(body, members[at] ?? 0, members[at + 1] ?? 0, ALL);
    if (name !== null) found[name] = [members[at + 2] ?? 0, members[at + 3] ?? 0];
  }
  return found;
}
