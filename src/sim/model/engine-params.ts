/**
 * Figures of the modelled GPU and scheduler; `engine-model.ts` says what is done with them.
 *
 * The defaults describe Llama-3-8B in BF16 on one H100 SXM, worked out from public figures:
 * - H100 SXM: 3.35 TB/s, 989 TFLOP/s dense BF16, 80 GB (NVIDIA's data sheet).
 * - Llama-3-8B: 16 GB of weights; 32 layers x 8 KV heads x 128 x 2 (K and V) x 2 bytes = 131 kB of
 *   KV cache a token (the model's config.json).
 * - Reading 16 GB of weights takes 4.8 ms at the peak; 7.5 ms assumes 65 % of it, launches included.
 * - Reading 1,000 tokens of KV cache, 131 MB, takes 0.04 ms.
 * - A prompt token costs 2 x 8e9 FLOP; 25,000 tokens/s assumes 40 % of the peak.
 * - The 0.03 ms a sequence, for sampling and scheduling, are an assumption.
 * - LMDeploy: blocks of 64 tokens; 0.8 of the memory that the weights leave goes to the cache:
 *   0.8 x 64 GB / 8.4 MB = 6,100 blocks; prefill in batches of up to 8,192 tokens. The chunk of
 *   2,048 is what Sarathi-Serve (OSDI '24) uses for relaxed latency targets.
 * - A block crosses a 400 Gbit/s link in 8.4 MB / 50 GB/s = 0.17 ms (DistServe).
 */
export interface EngineParams {
  /** Prompt tokens computed per second, above 0. */
  readonly prefillTokensPerS: number;
  /** Least time of a step, ms: reading the weights once, launching kernels. Above 0. */
  readonly stepBaseMs: number;
  /** Added to a step by every sequence that decodes in it, ms. */
  readonly stepPerSequenceMs: number;
  /** Added to a step by every 1,000 tokens of context of the sequences that decode in it, ms. */
  readonly stepPer1kContextMs: number;
  /** Tokens that a KV block holds. */
  readonly blockSizeTokens: number;
  /** KV blocks that the engine has. */
  readonly totalBlocks: number;
  /** Most sequences in the batch. */
  readonly maxBatchSize: number;
  /** Most tokens that a step computes, decode and prefill together: the chunk size of prefill. */
  readonly maxStepTokens: number;
  /** Whether a finished prompt's blocks stay for later prompts that begin alike. */
  readonly prefixCache: boolean;
  /** Time to fetch one block from a prefill engine, ms. */
  readonly transferPerBlockMs: number;
}

/** What can change while an engine runs. */
export type EngineSpeed = Pick<
  EngineParams,
  "prefillTokensPerS" | "stepBaseMs" | "stepPerSequenceMs" | "stepPer1kContextMs"
>;

export const DEFAULT_ENGINE_PARAMS: EngineParams = {
  prefillTokensPerS: 25_000,
  stepBaseMs: 7.5,
  stepPerSequenceMs: 0.03,
  stepPer1kContextMs: 0.04,
  blockSizeTokens: 64,
  totalBlocks: 6_100,
  maxBatchSize: 256,
  maxStepTokens: 2_048,
  prefixCache: true,
  transferPerBlockMs: 0.17,
};

/** What one step of the engine works on. */
export interface StepLoad {
  /** Sequences that decode one token each. */
  readonly sequences: number;
  /** Tokens of context of those sequences together. */
  readonly contextTokens: number;
  /** Prompt tokens computed beside them. */
  readonly chunkTokens: number;
}

/**
 * How long a step lasts, ms: the roofline of a forward pass. Weights are read once whatever the
 * batch, long chunks are bound by compute, attention reads the KV cache of every sequence.
 */
export function stepTimeMs(params: EngineParams, load: StepLoad): number {
  return (
    Math.max(params.stepBaseMs, (load.chunkTokens / params.prefillTokensPerS) * 1_000) +
    params.stepPerSequenceMs * load.sequences +
    (params.stepPer1kContextMs * load.contextTokens) / 1_000
  );
}
