/** The id of a response (OpenAI's Responses) or conversation, found in the bytes of its answer as they pass. */

/** More of an answer is not looked at: the id is in its first event, or its first fields. */
const MAX_BYTES = 64 * 1024;
/** Longer ones are not known, characters. */
export const LONGEST_ID = 200;
/** In a JSON text these are part of no string: quotes are escaped there. Ids of parts begin otherwise. */
const IDS = {
  response: /"id"\s{0,8}:\s{0,8}"(resp[\w.-]{1,196})"/,
  conversation: /"id"\s{0,8}:\s{0,8}"(conv[\w.-]{1,196})"/,
};

/** What engines keep. */
export type KeptKind = keyof typeof IDS;
/** What may have to be joined to the next piece. */
const CARRIED = LONGEST_ID + 32;

/** Looks for the first id in an answer, wherever its pieces were cut. */
export class KeptIdFinder {
  readonly #kind: KeptKind;
  #carried = "";
  #left = MAX_BYTES;

  constructor(kind: KeptKind) {
    this.#kind = kind;
  }

  /** The id, once: when `piece` is the one that completes it; else null. */
  push(piece: Uint8Array): string | null {
    if (this.#left <= 0) return null;
    const seen = piece.subarray(0, this.#left);
    this.#left -= seen.length;
    const text =
      this.#carried + Buffer.from(seen.buffer, seen.byteOffset, seen.length).toString("latin1");
    const id = IDS[this.#kind].exec(text)?.[1] ?? null;
    if (id !== null) this.#left = 0;
    this.#carried = text.slice(-CARRIED);
    return id;
  }
}
