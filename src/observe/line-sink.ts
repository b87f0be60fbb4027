/** Where lines go in the end, such as a `Bun.FileSink`. */
export interface Output {
  /** Takes text for the next flush. */
  write(text: string): unknown;
  /** A promise when the reader is slow: it resolves when there is room again, and rejects when there is none to come. */
  flush(): number | Promise<number>;
}

export interface LineSinkOptions {
  readonly output: Output;
  /** What may wait for a slow reader, characters; what comes then is lost, and counted. */
  readonly mostWaiting: number;
  /** Calls `act` soon, once what runs now has had its turn. */
  readonly soon: (act: () => void) => void;
}

/**
 * Lines on their way to a reader who may be slow or gone: that costs lines, never a request. Those of
 * one turn of the event loop are written together.
 */
export class LineSink {
  readonly #options: LineSinkOptions;
  #waiting = "";
  #isSoon = false;
  #isWriting = false;
  #written: Promise<void> = Promise.resolve();
  #lost = 0;

  constructor(options: LineSinkOptions) {
    this.#options = options;
  }

  /** Lines that nobody will read. */
  get lost(): number {
    return this.#lost;
  }

  /** @param lines One or more, each with its end. */
  readonly write = (lines: string): void => {
    if (this.#waiting.length + lines.length > this.#options.mostWaiting) {
      this.#lost += countLines(lines);
      return;
    }
    this.#waiting += lines;
    if (this.#isSoon || this.#isWriting) return;
    this.#isSoon = true;
    this.#options.soon(() => {
      this.#isSoon = false;
      void this.flush();
    });
  };

  /** Resolves when all has been written, or lost. */
  flush(): Promise<void> {
    if (!this.#isWriting) this.#written = this.#writeAll();
    return this.#written;
  }

  async #writeAll(): Promise<void> {
    this.#isWriting = true;
    while (this.#waiting !== "") {
      const lines = this.#waiting;
      this.#waiting = "";
      try {
        this.#options.output.write(lines);
        const flushed = this.#options.output.flush();
        // Without an await as long as nobody is slow: the process may end right after.
        if (typeof flushed !== "number") await flushed;
      } catch {
        // A full disk, a reader who has left: there is nowhere to say it but in the count.
        this.#lost += countLines(lines);
      }
    }
    this.#isWriting = false;
  }
}

function countLines(text: string): number {
  let count = 0;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) count += 1;
  return count;
}
