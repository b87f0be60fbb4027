/** Questions and answers between two processes of one proxy; messages come in the order they were sent. */
import { errorMessage } from "../core/thrown.ts";

type Message =
  | { readonly ask: number; readonly question: unknown }
  | { readonly answer: number; readonly value: unknown }
  | { readonly answer: number; readonly failed: string };

/** Asked to see whether the other process does anything at all. */
const THERE = { do: "there" };

function isThere(question: unknown): boolean {
  return (
    typeof question === "object" &&
    question !== null &&
    "do" in question &&
    question.do === THERE.do
  );
}

function isMessage(message: unknown): message is Message {
  return (
    typeof message === "object" && message !== null && ("ask" in message || "answer" in message)
  );
}

/** The other process has gone, or could not answer. */
export class ChannelError extends Error {
  override readonly name = "ChannelError";
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: ChannelError) => void;
}

export class Channel<Question> {
  readonly #send: (message: unknown) => void;
  readonly #answer: (question: unknown) => unknown;
  readonly #waiting = new Map<number, Waiting>();
  #asked = 0;
  #closed = false;

  /**
   * @param send Must not throw when the other process has gone.
   * @param answer What the other process asks; may reject, of which it is told the message.
   */
  constructor(send: (message: unknown) => void, answer: (question: unknown) => unknown) {
    this.#send = send;
    this.#answer = answer;
  }

  /** @throws ChannelError */
  ask(question: Question): Promise<unknown> {
    return this.#ask(question);
  }

  /** Resolves when the other process gets to it. @throws ChannelError; also where a version before answers */
  there(): Promise<unknown> {
    return this.#ask(THERE);
  }

  #ask(question: unknown): Promise<unknown> {
    if (this.#closed) return Promise.reject(new ChannelError("the process has gone"));
    this.#asked += 1;
    const ask = this.#asked;
    return new Promise((resolve, reject) => {
      this.#waiting.set(ask, { resolve, reject });
      this.#send({ ask, question });
    });
  }

  /** For what the other process sends. */
  receive(message: unknown): void {
    if (!isMessage(message)) return;
    if ("ask" in message) void this.#reply(message.ask, message.question);
    else {
      const waiting = this.#waiting.get(message.answer);
      this.#waiting.delete(message.answer);
      if ("failed" in message) waiting?.reject(new ChannelError(message.failed));
      else waiting?.resolve(message.value);
    }
  }

  async #reply(answer: number, question: unknown): Promise<void> {
    try {
      // What is asked is begun at once, so that it is done in the order in which it came.
      this.#send({ answer, value: isThere(question) ? true : await this.#answer(question) });
    } catch (error) {
      this.#send({ answer, failed: errorMessage(error) });
    }
  }

  /** The other process has gone: whoever waits for it is told. */
  close(): void {
    this.#closed = true;
    for (const { reject } of this.#waiting.values()) {
      reject(new ChannelError("the process has gone"));
    }
    this.#waiting.clear();
  }
}
