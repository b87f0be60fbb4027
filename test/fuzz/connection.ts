/** A client's connection that is used again as long as it stands. */
import type { Socket } from "bun";
import { type HttpAnswer, readAnswers } from "../support/http-answers.ts";

/** What came of one input. */
export interface Said {
  readonly sent: Uint8Array;
  /** Whole final answers. */
  readonly answers: readonly HttpAnswer[];
  /** Why what came is no HTTP, or null. */
  readonly malformed: string | null;
}

/**
 * A proxy that has said nothing for so long, ms, and then answers somebody else, waits for more of the
 * input: on a busy machine all that it says may take longer than that.
 */
const SILENCE_MS = 60;

export class Connection {
  readonly #port: number;
  readonly #silenceMs: number;
  #socket: Socket | null = null;
  #unsent: Uint8Array = Buffer.alloc(0);
  #received = Buffer.alloc(0);
  #changed: () => void = () => {};

  constructor(port: number, silenceMs = SILENCE_MS) {
    this.#port = port;
    this.#silenceMs = silenceMs;
  }

  /** Sends `input`; resolves when it is answered, the proxy has closed the connection, or waits for more. */
  async exchange(input: Uint8Array): Promise<Said> {
    this.#received = Buffer.alloc(0);
    this.#unsent = input;
    const { promise, resolve } = Promise.withResolvers<Said>();
    const done = (answers: readonly HttpAnswer[], malformed: string | null = null) => {
      // What is pipelined behind an answered request may be answered yet, and not to the next input.
      const isOne =
        answers.length === 1 && Buffer.from(input).indexOf("HTTP/1.") === lastVersion(input);
      if (!isOne || malformed !== null) this.close();
      resolve({ sent: input, answers, malformed });
    };
    const look = (isOver: boolean) => {
      try {
        const { answers, rest } = readAnswers(this.#received);
        const final = answers.filter(({ status }) => status >= 200);
        const closes = final.some(({ headers }) => headers.get("connection") === "close");
        if (isOver || (final.length > 0 && rest.length === 0 && !closes)) done(final);
      } catch (error) {
        done([], `${String(error)}: ${JSON.stringify(this.#received.toString("latin1"))}`);
      }
    };
    this.#changed = () => look(this.#socket === null);
    let isDone = false;
    const silence = setTimeout(async () => {
      await fetch(`http://127.0.0.1:${this.#port}/health`).catch(() => {});
      if (isDone) return;
      this.close();
      look(true);
    }, this.#silenceMs);
    try {
      if (this.#socket === null) await this.#connect();
      else this.#write(this.#socket);
      return await promise;
    } finally {
      isDone = true;
      clearTimeout(silence);
      this.#changed = () => {};
    }
  }

  close(): void {
    const socket = this.#socket;
    this.#socket = null;
    socket?.terminate();
  }

  async #connect(): Promise<void> {
    const ended = (socket: Socket) => {
      if (this.#socket !== socket) return;
      this.#socket = null;
      this.#changed();
    };
    await Bun.connect({
      hostname: "127.0.0.1",
      port: this.#port,
      socket: {
        open: (socket) => {
          this.#socket = socket;
          this.#write(socket);
        },
        drain: (socket) => this.#write(socket),
        data: (socket, piece) => {
          if (this.#socket !== socket) return;
          this.#received = Buffer.concat([this.#received, piece]);
          this.#changed();
        },
        end: ended,
        close: ended,
        error: ended,
      },
    });
  }

  #write(socket: Socket): void {
    if (this.#unsent.length === 0) return;
    this.#unsent = this.#unsent.subarray(Math.max(0, socket.write(this.#unsent)));
  }
}

function lastVersion(input: Uint8Array): number {
  return Buffer.from(input).lastIndexOf("HTTP/1.");
}
