/** What `EngineModel` knows of a request. */
import type { ModelEvent, ModelRequest } from "./model-types.ts";

/** A request inside the engine. */
export interface Sequence {
  readonly request: ModelRequest;
  state: "waiting" | "running" | "gone";
  /** The prompt's blocks come from a prefill engine; after a preemption they are computed here. */
  fetched: boolean;
  blocks: number[];
  /** Tokens whose KV cache is there. */
  computed: number;
  /** Of those, prompt tokens that the prefix cache had. */
  cached: number;
  /** Tokens to compute before the next token: the prompt, after a preemption also the answer. */
  target: number;
  generated: number;
  /** Fetched blocks are here from this moment on. */
  readyAtMs: number;
}

export function newSequence(request: ModelRequest): Sequence {
  return {
    request,
    state: "waiting",
    fetched: request.migrated === true,
    blocks: [],
    computed: 0,
    cached: 0,
    target: request.promptTokens,
    generated: 0,
    readyAtMs: 0,
  };
}

/** Of the token that it has just generated. */
export function tokenEvent({ request, generated, cached }: Sequence, atMs: number): ModelEvent {
  const told = generated === 1 && cached > 0 ? { cachedTokens: cached } : {};
  return { kind: "token", id: request.id, atMs, index: generated, ...told };
}

export function without(sequences: readonly Sequence[], one: Sequence): Sequence[] {
  return sequences.filter((sequence) => sequence !== one);
}
