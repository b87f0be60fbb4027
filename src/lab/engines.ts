/**
 * The engines that the laboratory knows by name. What a figure is worked out from stands beside it; 40 %
 * of the peak for prefill and 65 % of the memory's bandwidth for a step are assumptions, as in
 * `engine-params.ts`, and the same for all.
 */
import {
  DEFAULT_ENGINE_PARAMS,
  type EngineParams,
  type EngineSpeed,
} from "../sim/model/engine-params.ts";

export const ENGINES: Readonly<Record<string, EngineParams>> = {
  /**
   * Llama-3-70B in BF16 on eight A100 80GB SXM, a node of the kind that Mooncake's authors replay their
   * trace on: 140 GB of weights, 328 kB of KV cache a token. 8 x 312 TFLOP/s, 1.4e11 FLOP a token: 7,100
   * tokens/s. 17.5 GB a GPU: 13.2 ms. 41 MB of KV a GPU: 0.02 ms a 1,000 tokens. 0.9 of what is left of
   * 640 GB: 1,372,000 tokens, 21,400 blocks of 64.
   */
  "llama3-70b-8xa100": {
    ...DEFAULT_ENGINE_PARAMS,
    prefillTokensPerS: 7_100,
    stepBaseMs: 13.2,
    stepPer1kContextMs: 0.02,
    totalBlocks: 21_400,
  },
  /**
   * Qwen2.5-7B in BF16 on one A100 80GB SXM: 312 TFLOP/s and 2.039 TB/s (NVIDIA's data sheet); 7.6e9
   * parameters, 15.2 GB, 28 layers x 4 KV heads x 128 x 2 x 2 bytes = 57 kB of KV cache a token (the
   * model's config.json). 1.5e10 FLOP a token: 8,200 tokens/s. 15.2 GB: 11.5 ms. 57 MB of KV: 0.028 ms a
   * 1,000 tokens. 0.9 of what 80 GB leave after the weights: 1,017,000 tokens, 15,890 blocks of 64.
   */
  "qwen2.5-7b-a100": {
    ...DEFAULT_ENGINE_PARAMS,
    prefillTokensPerS: 8_200,
    stepBaseMs: 11.5,
    stepPer1kContextMs: 0.028,
    totalBlocks: 15_890,
  },
  /** Llama-3-8B in BF16 on one H100 SXM: see `engine-params.ts`. */
  "llama3-8b-h100": DEFAULT_ENGINE_PARAMS,
  /**
   * Llama-3-70B in BF16 on four H100 SXM: 140 GB of weights and 328 kB of KV cache a token (the model's
   * config.json), spread over 4 x 989 TFLOP/s, 3.35 TB/s and 80 GB. 2 x 70e9 FLOP a token: 11,300
   * tokens/s. 35 GB a GPU: 16 ms. 82 MB of KV a GPU: 0.025 ms a 1,000 tokens. 0.9 of what is left:
   * 494,000 tokens, 7,700 blocks of 64.
   */
  "llama3-70b-4xh100": {
    ...DEFAULT_ENGINE_PARAMS,
    prefillTokensPerS: 11_300,
    stepBaseMs: 16,
    stepPer1kContextMs: 0.025,
    totalBlocks: 7_700,
  },
};

/** An engine by some of its figures; the others are those of `engine-params.ts`. */
export function engineOf(given: Partial<EngineParams>): EngineParams {
  return { ...DEFAULT_ENGINE_PARAMS, ...given };
}

/** An engine that is `factor` times as fast, above 0; its memory stays. */
export function speedOf(params: EngineParams, factor: number): EngineSpeed {
  return {
    prefillTokensPerS: params.prefillTokensPerS * factor,
    stepBaseMs: params.stepBaseMs / factor,
    stepPerSequenceMs: params.stepPerSequenceMs / factor,
    stepPer1kContextMs: params.stepPer1kContextMs / factor,
  };
}
