/** What a simulated engine says: sentences to read, or words to find splitters out. A pure function of its input. */

/** `tricky`: words of more than one byte among them, so that whoever splits an answer anywhere is found out. */
export const VOICES = ["sentences", "tricky"] as const;

export type Voice = (typeof VOICES)[number];

const SENTENCES = [
  "A proxy keeps no model of its own; it only knows which engine has room.",
  "Each engine works in steps, and every step adds one word to each answer in its batch.",
  "Long prompts are computed in pieces, so that short answers need not wait behind them.",
  "Prompts that begin alike share their blocks, and these are computed only once.",
  "When an engine is lost, requests that have not had a word go to another.",
  "What had begun there breaks off, and nobody pretends that it was whole.",
  "The engine with the least to do is not always the best, for its cache may be cold.",
  "An engine that comes back gets little at first, and more as it warms up.",
  "A client that leaves frees its place at once, and the next in line moves up.",
  "Every number in the status is counted, never guessed.",
  "This answer is made up by a simulated engine, word by word, at the pace of a real one.",
  "Streams pass through as they come, byte for byte and in order.",
  "A full queue says so at once, which is kinder than a long silence.",
  "Health is asked for again and again, and believed as long as requests agree.",
  "Two engines may share one answer: the first reads the prompt, the second writes.",
  "Nothing is tried again once a reader has seen the first word.",
].map((sentence) => sentence.split(" "));

/** Coprime with the number of sentences, so that all come before one comes again. */
const STRIDE = 7;

const TRICKY = [
  ..."the proxy hands every token on as it came — naïve café 模型 推理 and nothing is lost".split(
    " ",
  ),
  ..."on its way 🙂 Größe then waits for more of them here now ответ".split(" "),
];

export class AnswerText {
  readonly #voice: Voice;
  readonly #fingerprint: number;
  readonly #words: string[] = [];
  /** Numbers of words with which a sentence ends. */
  readonly #ends: number[] = [];

  /** `fingerprint`, a whole number from 0, chooses the words. */
  constructor(voice: Voice, fingerprint: number) {
    this.#voice = voice;
    this.#fingerprint = fingerprint;
  }

  /** Text of the answer's token number `index`, from 0. */
  piece(index: number): string {
    const word = this.#word(index);
    return index === 0 ? word : ` ${word}`;
  }

  /** The same as the last one of an answer that ends by itself: with a full stop. */
  lastPiece(index: number): string {
    const piece = this.piece(index);
    return this.#voice === "tricky" ? piece : piece.replace(/[,;:.]?$/, ".");
  }

  /** Where the last sentence ends within `most` tokens; `most` if none does after at least `least`. */
  naturalEnd(least: number, most: number): number {
    if (this.#voice === "tricky") return most;
    this.#word(most);
    return this.#ends.findLast((end) => end >= least && end <= most) ?? most;
  }

  #word(index: number): string {
    if (this.#voice === "tricky") {
      return TRICKY[(this.#fingerprint + index * STRIDE + (index >> 3)) % TRICKY.length] ?? "";
    }
    while (this.#words.length <= index) {
      const place = (this.#fingerprint + this.#ends.length * STRIDE) % SENTENCES.length;
      this.#words.push(...(SENTENCES[place] ?? ["…"]));
      this.#ends.push(this.#words.length);
    }
    return this.#words[index] ?? "";
  }
}
