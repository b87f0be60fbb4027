/** The one stream that everything on the page comes from. */
import type { Frame } from "../observe/live-frame.ts";
import { authorization, CallError, messageOf, refusalOf } from "./calls.ts";
import { isFrame } from "./cluster.ts";
import { keys } from "./keys.ts";

export type Standing =
  | { readonly is: "connecting" }
  | { readonly is: "open" }
  /** A key is needed; `message` says what was wrong with the one that was sent. */
  | { readonly is: "locked"; readonly message: string | null }
  | { readonly is: "refused"; readonly message: string }
  | { readonly is: "lost"; readonly message: string };

export interface Listener {
  frame(frame: Frame): void;
  standing(standing: Standing): void;
}

/** Silence after which the proxy is taken to be gone, ms: it says something each second. */
const SILENCE_MS = 10_000;
const LONGEST_PAUSE_MS = 15_000;

export class Connection {
  readonly #listener: Listener;
  #abort = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #failures = 0;

  constructor(listener: Listener) {
    this.#listener = listener;
  }

  /** Begins, or begins anew: with another key. */
  async open(): Promise<void> {
    this.#abort.abort();
    clearTimeout(this.#timer);
    const abort = new AbortController();
    this.#abort = abort;
    this.#listener.standing({ is: "connecting" });
    const ended = await this.#read(abort).catch(messageOf);
    clearTimeout(this.#timer);
    // Somebody has begun anew, or has to.
    if (abort !== this.#abort || ended === null) return;
    this.#listener.standing({ is: "lost", message: ended });
    this.#failures += 1;
    const pauseMs = Math.min(500 * 2 ** this.#failures, LONGEST_PAUSE_MS);
    this.#timer = setTimeout(() => void this.open(), pauseMs);
  }

  /** Null when it is no use trying again. @throws Error that says why there is no more */
  async #read(abort: AbortController): Promise<string | null> {
    this.#expect(abort);
    const answer = await fetch("/debug/live", {
      headers: authorization(keys.admin),
      signal: abort.signal,
      cache: "no-store",
    });
    if (!answer.ok || answer.body === null) return this.#refused(await refusalOf(answer));
    this.#listener.standing({ is: "open" });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return "The proxy has ended the stream.";
      this.#expect(abort);
      this.#failures = 0;
      const lines = (rest + value).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const frame: unknown = JSON.parse(line);
        if (isFrame(frame)) this.#listener.frame(frame);
      }
    }
  }

  #expect(abort: AbortController): void {
    clearTimeout(this.#timer);
    const gone = new CallError(0, `Nothing came for ${SILENCE_MS / 1_000} s.`);
    this.#timer = setTimeout(() => abort.abort(gone), SILENCE_MS);
  }

  #refused(error: CallError): string | null {
    if (error.status === 401) {
      const wasWrong = keys.admin !== null;
      keys.admin = null;
      this.#listener.standing({ is: "locked", message: wasWrong ? error.message : null });
      return null;
    }
    if (error.status === 403) {
      this.#listener.standing({ is: "refused", message: error.message });
      return null;
    }
    return error.message;
  }
}
