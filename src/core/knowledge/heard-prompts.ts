import type { Prompt } from "./prefill-work.ts";
import type { SentPrompt } from "./prefix-trust.ts";
import type { PromptNews, SentNews } from "./prompt-news.ts";

/** What was expected of a request when it was sent. */
export interface Sent extends SentPrompt, Prompt {
  /** Of this process' prompts; of others' whatever they said. */
  readonly id: number;
  /** How much it seems to have had, by when the first word came, bytes; null where that tells nothing. */
  seemed: number | null;
}

/** What is done with a prompt, whoever sent it. */
export interface KnowsPrompts {
  /** The same, with its pieces as old as they are here; null where the node is not known. */
  heard(news: SentNews): Sent | null;
  sent(prompt: Sent, blocks: readonly number[], nowMs: number): void;
  computed(prompt: Sent, bytes: number, ms: number, nowMs: number): void;
  ended(prompt: Sent, isAnswered: boolean, nowMs: number): void;
}

/** The prompts that one other process has sent, as long as it has not said what became of them. */
export class HeardPrompts implements PromptNews {
  readonly #knowledge: KnowsPrompts;
  readonly #prompts = new Map<number, Sent>();

  constructor(knowledge: KnowsPrompts) {
    this.#knowledge = knowledge;
  }

  sent(news: SentNews, atMs: number): void {
    const prompt = this.#knowledge.heard(news);
    if (prompt === null) return;
    this.#prompts.set(news.id, prompt);
    this.#knowledge.sent(prompt, news.blocks, atMs);
  }

  computed(id: number, bytes: number, ms: number, atMs: number): void {
    const prompt = this.#prompts.get(id);
    if (prompt !== undefined) this.#knowledge.computed(prompt, bytes, ms, atMs);
  }

  ended(id: number, isAnswered: boolean, atMs: number): void {
    const prompt = this.#prompts.get(id);
    if (prompt === undefined) return;
    this.#prompts.delete(id);
    this.#knowledge.ended(prompt, isAnswered, atMs);
  }

  /** The process is gone, or some of what it said was missed: what it had sent is over. */
  forget(nowMs: number): void {
    for (const prompt of this.#prompts.values()) this.#knowledge.ended(prompt, false, nowMs);
    this.#prompts.clear();
  }
}
