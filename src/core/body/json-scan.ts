/**
 * Walking over JSON (RFC 8259) as bytes, without building values.
 *
 * Nothing here copies or decodes: a request body of a megabyte is mostly one or two strings, and
 * finding their ends is all the proxy needs. Every walk can run out of bytes (the caller may show a
 * body piece by piece); it then returns the bitwise complement of the index to go on from, which is
 * always negative.
 */
import { ProxyError } from "../errors.ts";

export const QUOTE = 0x22;
export const COMMA = 0x2c;
export const COLON = 0x3a;
export const BACKSLASH = 0x5c;
export const OPEN_BRACKET = 0x5b;
export const CLOSE_BRACKET = 0x5d;
export const OPEN_BRACE = 0x7b;
export const CLOSE_BRACE = 0x7d;

/**
 * Levels of arrays and objects a body may have. Tool schemas, the deepest thing clients send, stay
 * far below 100; Python's JSON reader, which the engines use, gives up near 1,000 with a 500.
 */
export const MAX_DEPTH = 512;

/** Bytes a top-level key, number or model name may have. Longer ones are nobody's honest request. */
export const MAX_TOKEN_BYTES = 4096;

/**
 * Bytes of a string that are looked at one by one before the native search takes over: a native
 * call costs as much as some 25 bytes in the loop, and most strings are shorter than that.
 */
const NEAR_BYTES = 24;

/** The 400 for a body that is not JSON; `at` is a byte offset from the start of the body. */
export function malformed(expected: string, at: number): ProxyError {
  return new ProxyError(
    "invalid_request",
    `The body is not valid JSON: expected ${expected} at byte ${at}. Send one JSON object.`,
  );
}

/** The 400 for a token beyond `MAX_TOKEN_BYTES`; `at` as in `malformed`. */
export function tooLong(what: string, at: number): ProxyError {
  return new ProxyError(
    "invalid_request",
    `The ${what} at byte ${at} of the body is longer than ${MAX_TOKEN_BYTES} bytes. Shorten it.`,
  );
}

/** The index of the first byte at or after `start` that is not white space; at most the length. */
export function skipWhitespace(bytes: Uint8Array, start: number): number {
  let i = start;
  for (; ; i++) {
    const byte = bytes[i];
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return i;
  }
}

/**
 * The index after the closing quote of a string, `start` being inside it and not within an escape.
 * Complement of the index to go on from (possibly one past the end) when the bytes end first.
 * What the string holds is not judged: escapes count as two bytes whatever follows the backslash.
 */
export function skipString(bytes: Uint8Array, start: number): number {
  const end = bytes.length;
  let i = start;
  for (;;) {
    const near = Math.min(i + NEAR_BYTES, end);
    while (i < near) {
      const byte = bytes[i];
      if (byte === QUOTE) return i + 1;
      i += byte === BACKSLASH ? 2 : 1;
    }
    if (i >= end) return ~i;
    const quote = bytes.indexOf(QUOTE, i);
    const stop = quote < 0 ? end : quote;
    let run = stop;
    while (run > i && bytes[run - 1] === BACKSLASH) run--;
    const escapes = (stop - run) & 1;
    if (quote < 0) return ~(end + escapes);
    i = quote + 1;
    if (escapes === 0) return i;
  }
}

/** Where a walk through an array or object stands; make one for each body, not for each value. */
export interface Nesting {
  /** Brackets open now, 0 to `MAX_DEPTH`. */
  depth: number;
  inString: boolean;
  /** The closing byte that each open level waits for. */
  readonly closers: number[];
}

export function newNesting(): Nesting {
  return { depth: 0, inString: false, closers: [] };
}

/**
 * The index after the bracket that closes the array or object, where `start` is its opening bracket
 * (with `nesting.depth` 0) or the index to go on from. Complement of the latter when the bytes end.
 * Brackets have to match; what stands between them is the engine's to judge.
 *
 * @throws ProxyError invalid_request for brackets that do not match or nest beyond `MAX_DEPTH`.
 */
export function skipNested(bytes: Uint8Array, start: number, nesting: Nesting): number {
  const { closers } = nesting;
  const end = bytes.length;
  let depth = nesting.depth;
  let i = start;
  let inString = nesting.inString;
  while (inString || i < end) {
    const byte = inString ? QUOTE : (bytes[i++] ?? 0);
    if (byte === QUOTE) {
      const after = skipString(bytes, i);
      inString = after < 0;
      i = inString ? ~after : after;
      if (inString) break;
    } else if (byte > 0x5a) {
      // In ASCII, bit 0x20 apart, [ is { and ] is }; and a closer is its opener plus 2.
      const bracket = byte | 0x20;
      if (bracket === OPEN_BRACE) {
        if (depth === MAX_DEPTH) throw tooDeep();
        closers[depth++] = byte + 2;
      } else if (bracket === CLOSE_BRACE) {
        const closer = closers[--depth];
        if (closer !== byte) throw malformed(closer === CLOSE_BRACE ? '"}"' : '"]"', i - 1);
        if (depth === 0) break;
      }
    }
  }
  nesting.depth = depth;
  nesting.inString = inString;
  return depth === 0 ? i : ~i;
}

function tooDeep(): ProxyError {
  return new ProxyError(
    "invalid_request",
    `The body nests arrays and objects deeper than ${MAX_DEPTH} levels. Send a flatter one.`,
  );
}

/** The index after the run of bytes at `start` that can only be one scalar; gives up after `MAX_TOKEN_BYTES`. */
export function skipScalar(bytes: Uint8Array, start: number): number {
  const stop = Math.min(bytes.length, start + MAX_TOKEN_BYTES + 1);
  let i = start;
  for (; i < stop; i++) {
    const byte = bytes[i] ?? 0;
    if (byte <= 0x20 || byte === COMMA || byte === CLOSE_BRACE) break;
  }
  return i;
}

/** Whether the bytes from `start` to `end` are a JSON number, `true`, `false` or `null`. */
export function isScalar(bytes: Uint8Array, start: number, end: number): boolean {
  switch (bytes[start]) {
    case 0x74:
      return spells(bytes, start, end, "true");
    case 0x66:
      return spells(bytes, start, end, "false");
    case 0x6e:
      return spells(bytes, start, end, "null");
    default:
      return isNumber(bytes, start, end);
  }
}

/** Whether the bytes from `start` to `end` are exactly the ASCII text `text`. */
export function spells(bytes: Uint8Array, start: number, end: number, text: string): boolean {
  if (end - start !== text.length) return false;
  for (let i = 0; i < text.length; i++) {
    if (bytes[start + i] !== text.charCodeAt(i)) return false;
  }
  return true;
}

/** The index after the run of digits at `start`. */
function skipDigits(bytes: Uint8Array, start: number, end: number): number {
  let i = start;
  for (; i < end; i++) {
    const byte = bytes[i] ?? 0;
    if (byte < 0x30 || byte > 0x39) break;
  }
  return i;
}

function isNumber(bytes: Uint8Array, start: number, end: number): boolean {
  const first = bytes[start] === 0x2d ? start + 1 : start;
  let i = skipDigits(bytes, first, end);
  if (i === first || (bytes[first] === 0x30 && i > first + 1)) return false;
  if (i < end && bytes[i] === 0x2e) {
    const fraction = i + 1;
    i = skipDigits(bytes, fraction, end);
    if (i === fraction) return false;
  }
  if (i < end && ((bytes[i] ?? 0) | 0x20) === 0x65) {
    i += bytes[i + 1] === 0x2b || bytes[i + 1] === 0x2d ? 2 : 1;
    const exponent = i;
    i = skipDigits(bytes, exponent, end);
    if (i === exponent) return false;
  }
  return i === end;
}
