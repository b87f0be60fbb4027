/**
 * What an engine's counters say of its prefix cache: which share of the tokens of all prompts between two
 * readings it found there, beside the prompts that were sent to it meanwhile.
 */
import type { PrefixCounts } from "../engine/load-signals.ts";

/** So few prompts say nothing: others may have been counted than were sent. */
const LEAST_PROMPTS = 3;
/** More of them tell no more. */
const MOST_PROMPTS = 256;

export class PrefixCounters<Prompt> {
  #last: PrefixCounts | null = null;
  #prompts: Prompt[] = [];

  /** The node had `prompt` when its counters count one. */
  add(prompt: Prompt): void {
    if (this.#last !== null && this.#prompts.length < MOST_PROMPTS) this.#prompts.push(prompt);
  }

  /**
   * The counters were read.
   * @returns The prompts since the last reading that counted, and which share of their tokens was found;
   * null as long as they say nothing.
   */
  read(
    counts: PrefixCounts,
  ): { readonly prompts: readonly Prompt[]; readonly share: number } | null {
    const asked = counts.asked - (this.#last?.asked ?? 0);
    const found = counts.found - (this.#last?.found ?? 0);
    const isOther = this.#last === null || asked < 0 || found < 0;
    if (!isOther && (asked === 0 || this.#prompts.length < LEAST_PROMPTS)) return null;
    const prompts = this.#prompts;
    this.#last = counts;
    this.#prompts = [];
    return isOther || found > asked ? null : { prompts, share: found / asked };
  }

  /** The engine is another process now: it counts from the beginning. */
  forget(): void {
    this.#last = null;
    this.#prompts = [];
  }
}
