/** The products we know by their metrics. */
export type EngineKind = "lmdeploy" | "vllm" | "sglang";
