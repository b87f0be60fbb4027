/** Figures of the modelled GPU and scheduler; see `engine-model.ts` for what they do and their sources. */
export interface EngineParams {
  /** Prompt tokens computed per second. */
  readonly prefillTokensPerS: number;
  /** Fixed part of a step, ms: reading the weights once, kernel launches. */
  readonly stepBaseMs: number;
  /** Added to a step by every sequence that decodes in it, ms. */
  readonly stepPerSequenceMs: number;
  /** Added to a step by every 1,000 tokens of context of the sequences that decode in it, ms. */
  readonly stepPer1kContextMs: number;
  /** Tokens a KV block holds. */
  readonly blockSizeTokens: number;
  /** KV blocks of the engine. */
  readonly totalBlocks: number;
  /** Most sequences in one batch. */
  readonly maxBatchSize: number;
  /** Most tokens a step computes, prefill and decode together: the chunk size. */
  readonly maxStepTokens: number;
  /** Whether finished sequences leave their blocks to later prompts with the same beginning. */
  readonly prefixCache: boolean;
}
