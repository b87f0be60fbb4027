import type { Sequence } from "./sequence.ts";

/** What an engine has done since it started, as its counters show it. */
export class Counts {
  computedPromptTokens = 0;
  askedPromptTokens = 0;
  cachedPromptTokens = 0;
  finishedPromptTokens = 0;
  finishedCachedTokens = 0;
  generatedTokens = 0;
  preemptions = 0;

  admitted({ fetched, target, cached }: Sequence): void {
    this.cachedPromptTokens += cached;
    if (!fetched) this.askedPromptTokens += target;
  }

  finished({ request, cached }: Sequence): void {
    if (request.migrated === true) return;
    this.finishedPromptTokens += request.promptTokens;
    this.finishedCachedTokens += cached;
  }
}
