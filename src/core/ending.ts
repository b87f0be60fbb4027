/** So much of a stream's end is kept at least, bytes: what engines say last, a failure or the tokens used, is mostly shorter. */
export const ENDING_BYTES = 8 * 1024;
/** And so much of the beginning of an event that is longer, bytes: its name, and what its data begins with. */
export const TORN_BYTES = 256;

/**
 * What says how a stream ended stands in its last three events: tokens, a failure, and that it is over. So many whole
 * ones stay beside the one that is coming.
 */
const EVENTS = 2;

/** Room for some more of the usual ones, bytes: what stays is moved, and looked for, once for each time that this is full. */
const LEAST_ROOM = 2 * 1024;

const LF = 10;
const CR = 13;

/**
 * The end of a stream, wherever its pieces were cut: its last 8 KiB or, of events that are shorter, the last three.
 * Of an event that is longer its beginning is kept, too, and its middle left out. Streams are many and their events
 * short: most take 2 KiB.
 */
export class Ending {
  readonly #isEvents: boolean;
  /** Made when something comes. */
  #kept: Uint8Array = new Uint8Array(0);
  #length = 0;
  /** So much of that is the beginning of an event whose middle is left out behind it. */
  #torn = 0;

  /** @param isEvents Whether it is a stream of events: else its last 8 KiB are kept, whatever they are. */
  constructor(isEvents: boolean) {
    this.#isEvents = isEvents;
  }

  push(piece: Uint8Array): void {
    if (piece.length <= ENDING_BYTES) {
      this.#add(piece);
      return;
    }
    // Of what is no events the beginning says nothing.
    const from = this.#isEvents ? 0 : piece.length - ENDING_BYTES;
    if (!this.#isEvents) this.#length = 0;
    for (let at = from; at < piece.length; at += ENDING_BYTES) {
      this.#add(piece.subarray(at, at + ENDING_BYTES));
    }
  }

  /** The end in one piece, until the next is pushed. */
  get bytes(): Uint8Array {
    return this.#kept.subarray(this.#torn, this.#length);
  }

  /** The same, after the beginning of the event that goes on at its own, if that is longer. */
  get events(): Uint8Array {
    return this.#kept.subarray(0, this.#length);
  }

  #add(part: Uint8Array): void {
    if (this.#length + part.length > this.#kept.length) this.#makeRoom(part.length);
    this.#kept.set(part, this.#length);
    this.#length += part.length;
  }

  #makeRoom(bytes: number): void {
    const kept = this.#kept;
    const lastEvents = this.#isEvents ? this.#startOfEvent(EVENTS, this.#length) : 0;
    const from = Math.max(lastEvents, this.#length - ENDING_BYTES);
    let torn = NOTHING;
    if (from > lastEvents && this.#isEvents) {
      const start = this.#startOfEvent(0, from);
      torn = kept.slice(start, Math.min(from, start + TORN_BYTES));
    }
    const length = torn.length + this.#length - from;
    const size = Math.max(LEAST_ROOM, Math.ceil(1.5 * (length + bytes)));
    const room = size <= kept.length ? kept : new Uint8Array(size);
    room.set(kept.subarray(from, this.#length), torn.length);
    room.set(torn);
    this.#kept = room;
    this.#length = length;
    this.#torn = torn.length;
  }

  /** Where the event begins that is so many before the one at `end`; 0 when there are fewer: what is kept begins with one. */
  #startOfEvent(before: number, end: number): number {
    const kept = this.#kept;
    let left = before;
    for (let at = end - 1; at > 0; at -= 1) {
      const byte = kept[at];
      if (byte !== LF && byte !== CR) continue;
      const line = kept[at - 1];
      const isBlank = byte === line || (line === CR && kept[at - 2] === LF);
      if (isBlank && --left < 0) return at + 1;
    }
    return 0;
  }
}

const NOTHING = new Uint8Array(0);
