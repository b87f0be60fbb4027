/** Recorded or made-up traffic, as the laboratory replays it. */

export interface TraceRequest {
  /** When it came, ms from the beginning of the trace. */
  readonly atMs: number;
  /** At least 1. */
  readonly inputTokens: number;
  /** At least 1. */
  readonly outputTokens: number;
  /**
   * The prompt's blocks of `Trace.blockTokens` tokens, the last one possibly shorter: prompts that
   * have the same number at a place are the same up to there. Empty: the prompt is like no other.
   */
  readonly blocks: readonly number[];
  /** Requests of one conversation have the same number; -1: of none. */
  readonly session: number;
  /** The request that was answered before this one began, by its place in the trace; -1: none. */
  readonly after: number;
  /** From that one's answer to this request where the trace tells, else from request to request, ms. */
  readonly pauseMs: number;
}

export interface Trace {
  readonly name: string;
  readonly blockTokens: number;
  /** Times were recorded in steps of this, ms: a request came somewhere within the step that begins with its time. 0: exact. */
  readonly stepMs: number;
  /** In order of time. */
  readonly requests: readonly TraceRequest[];
}

/** What a reader makes of a file; times and order are as recorded. */
export interface Recorded {
  readonly blockTokens: number;
  readonly requests: readonly TraceRequest[];
}

/** A trace that cannot be read; the message says where and what is wrong. */
export class TraceError extends Error {
  override readonly name = "TraceError";
}

/** Numbers for prefixes: the same number for the same blocks after the same prefix, and only then. */
export class Prefixes {
  readonly #ids = new Map<string, number>();
  readonly #children = new Map<number, number>();
  #count = 0;

  /** How many different prefixes there have been. */
  get count(): number {
    return this.#count;
  }

  /** @param ids What the trace calls the blocks. @param scope Within which these names mean something. */
  of(ids: readonly (number | string)[], scope = ""): number[] {
    let parent = 0;
    return ids.map((id) => {
      parent = this.#child(parent, this.#idOf(`${scope}:${id}`));
      return parent;
    });
  }

  #idOf(name: string): number {
    const known = this.#ids.get(name);
    if (known !== undefined) return known;
    const id = this.#ids.size;
    if (id >= MAX_IDS) throw new TraceError(`The trace has more than ${MAX_IDS} different blocks.`);
    this.#ids.set(name, id);
    return id;
  }

  #child(parent: number, id: number): number {
    const key = parent * MAX_IDS + id;
    const known = this.#children.get(key);
    if (known !== undefined) return known;
    this.#count += 1;
    this.#children.set(key, this.#count);
    return this.#count;
  }
}

/** So that a prefix and a block fit into one number. */
const MAX_IDS = 2 ** 25;

/** Prompt tokens that one cache without limits, fed in the order of the trace, would not have to compute, fraction. */
export function idealHitRate({ requests, blockTokens }: Trace): number {
  const seen = new Set<number>();
  let hit = 0;
  let all = 0;
  for (const { blocks, inputTokens } of requests) {
    let known = 0;
    while (known < blocks.length && seen.has(blocks[known] ?? -1)) known += 1;
    hit += Math.min(known * blockTokens, inputTokens);
    all += inputTokens;
    for (const block of blocks) seen.add(block);
  }
  return all === 0 ? 0 : hit / all;
}
