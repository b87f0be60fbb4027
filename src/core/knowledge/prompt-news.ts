import type { SentPiece } from "./prefix-trust.ts";

/** A prompt that a process sends to a node. */
export interface SentNews {
  /** Of that process alone. */
  readonly id: number;
  readonly slot: number;
  readonly streams: boolean;
  /** What of it the node has to compute, as far as is known, bytes. */
  readonly bytes: number;
  readonly promptBytes: number;
  /** What of it the node was sent before; its age is for each process to say. */
  readonly pieces: readonly Pick<SentPiece, "end" | "usedAtMs">[];
  readonly blocks: readonly number[];
}

/**
 * What the processes of one proxy tell each other of prompts: whoever hears all of it knows of them what a
 * single process would, but for how large a node's cache is: each learns that from its own answers, and
 * from counters. `atMs` is when it happened, by the clock of whoever hears it.
 */
export interface PromptNews {
  sent(prompt: SentNews, atMs: number): void;
  /** Its first byte came: the node computed `bytes` in `ms`, both 0 where that tells nothing. */
  computed(id: number, bytes: number, ms: number, atMs: number): void;
  /** @param isAnswered Well, to its end, by a node that is still there. */
  ended(id: number, isAnswered: boolean, atMs: number): void;
}

/** The other processes of the proxy. */
export interface OtherProcesses extends PromptNews {
  /** Hears what they have told meanwhile. */
  catchUp(): void;
}
