import type { Clock } from "../core/clock.ts";

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
  readonly clock: Pick<Clock, "soon" | "after">;
  /** The line that says, once there is room again, how many before it are not there; empty for none. */
  readonly gap?: (lines: number) => string;
}

/**
 * A line after a pause is written at once; those that follow it wait so long for each other, ms. Under load a call of
 * the system for each turn of the event loop was some hundredths of what requests cost.
 */
const TOGETHER_MS = 20;

/**
 * A pipe takes so many bytes at once or not at all (pipe(7), PIPE_BUF); of more, when it is nearly full, a part. Then a
 * line of another worker's, who writes to the same, would stand in the middle of ours.
 */
const WHOLE_BYTES = 4_096;
/** What a character may take in UTF-8. */
const MOST_BYTES_EACH = 3;

/**
 * Lines on their way to a reader who may be slow or gone: that costs lines, never a request. Those of
 * one turn of the event loop are written together, and under load those of many.
 */
export class LineSink {
  readonly #options: LineSinkOptions;
  #waiting = "";
  /** Whether it has been seen to that what waits is written. */
  #isSoon = false;
  #isWriting = false;
  #written: Promise<void> = Promise.resolve();
  #lost = 0;
  /** How many of those it has been said of. */
  #lostSaid = 0;
  /** What was written last was lost: nor would anybody read of it. */
  #isFailing = false;

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
    if (this.#isSoon) return;
    this.#isSoon = true;
    this.#options.clock.soon(this.#writeTogether);
  };

  readonly #writeTogether = (): void => {
    // Nothing came since the last ones, or it goes with those that a slow reader is about to take.
    this.#isSoon = this.#waiting !== "" && !this.#isWriting;
    if (!this.#isSoon) return;
    void this.flush();
    this.#options.clock.after(TOGETHER_MS, this.#writeTogether);
  };

  /** Resolves when all has been written, or lost. */
  flush(): Promise<void> {
    if (!this.#isWriting) this.#written = this.#writeAll();
    return this.#written;
  }

  async #writeAll(): Promise<void> {
    this.#isWriting = true;
    while (this.#waiting !== "") {
      const lines = this.#waiting + this.#gap();
      this.#waiting = "";
      for (const piece of piecesOf(lines)) {
        try {
          this.#options.output.write(piece);
          const flushed = this.#options.output.flush();
          // Without an await as long as nobody is slow: the process may end right after.
          if (typeof flushed !== "number") await flushed;
          this.#isFailing = false;
        } catch {
          // A full disk, a reader who has left: until that is over there is nowhere to say it but in the count.
          this.#isFailing = true;
          this.#lost += countLines(piece);
        }
      }
    }
    this.#isWriting = false;
  }

  /** Whoever reads on would take what is there for all that was. */
  #gap(): string {
    const lines = this.#lost - this.#lostSaid;
    if (lines === 0 || this.#isFailing) return "";
    this.#lostSaid = this.#lost;
    return this.#options.gap?.(lines) ?? "";
  }
}

function countLines(text: string): number {
  let count = 0;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) count += 1;
  return count;
}

/** Whole lines, as many at once as a pipe takes whole; a longer one alone. */
function* piecesOf(lines: string): Generator<string> {
  const isAscii = Buffer.byteLength(lines) === lines.length;
  const most = isAscii ? WHOLE_BYTES : Math.floor(WHOLE_BYTES / MOST_BYTES_EACH);
  let from = 0;
  while (lines.length - from > most) {
    const last = lines.lastIndexOf("\n", from + most - 1);
    const end = last >= from ? last : lines.indexOf("\n", from + most);
    if (end < 0) break;
    yield lines.slice(from, end + 1);
    from = end + 1;
  }
  if (from < lines.length) yield lines.slice(from);
}
