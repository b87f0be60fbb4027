import { Buffer } from "node:buffer";

/**
 * The UTF-8 text of `bytes` from `start` to `end`, which is exclusive; what is no UTF-8 becomes U+FFFD.
 * Of the bytes themselves: a view for a decoder costs six times as much (Bun 1.4.5), and has all of them
 * kept in another way from then on.
 */
export function textAt(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.prototype.toString.call(bytes, "utf8", start, end);
}
