import type { Answer } from "../core/engine/answer.ts";
import type { Failure } from "../core/failure.ts";

/**
 * Questions that clients have the proxy ask engines: those who ask the same at the same time share
 * one, so that no client can load engines with them, whatever the limits of inference.
 */
export class SharedQuestions {
  readonly #open = new Map<string, Promise<Answer | Failure>>();

  /** The answer to the question that goes on already, or to `ask`. */
  answer(question: string, ask: () => Promise<Answer | Failure>): Promise<Answer | Failure> {
    const open = this.#open.get(question);
    if (open !== undefined) return open;
    const answer = ask().finally(() => this.#open.delete(question));
    this.#open.set(question, answer);
    return answer;
  }
}
