/** Counts what is open of a text in JSON, wherever its pieces are cut: it has not come to its end as long as anything is. */
import {
  BACKSLASH,
  CLOSE_BRACE,
  CLOSE_BRACKET,
  OPEN_BRACE,
  OPEN_BRACKET,
  QUOTE,
} from "./json-scan.ts";

export class JsonBrackets {
  #depth = 0;
  #isInString = false;
  #isEscaped = false;

  push(piece: Uint8Array): void {
    for (const byte of piece) {
      if (this.#isInString) {
        if (this.#isEscaped) this.#isEscaped = false;
        else if (byte === BACKSLASH) this.#isEscaped = true;
        else if (byte === QUOTE) this.#isInString = false;
      } else if (byte === QUOTE) this.#isInString = true;
      else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) this.#depth += 1;
      else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) this.#depth -= 1;
    }
  }

  /** Whether a string, an array or an object has begun and not ended. */
  get areOpen(): boolean {
    return this.#isInString || this.#depth > 0;
  }
}
