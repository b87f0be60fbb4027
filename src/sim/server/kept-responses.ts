/** Responses that an engine keeps (vLLM, SGLang: in memory), and what they were made from. */

/** The oldest are dropped beyond. */
const MOST_RESPONSES = 1_000;

export interface KeptResponse {
  readonly response: object;
  /** What was said, the responses before it included. */
  readonly input: readonly unknown[];
  readonly output: readonly unknown[];
}

export class KeptResponses {
  readonly #byId = new Map<string, KeptResponse>();

  keep(id: string, kept: KeptResponse): void {
    this.#byId.set(id, kept);
    for (const oldest of this.#byId.keys()) {
      if (this.#byId.size <= MOST_RESPONSES) return;
      this.#byId.delete(oldest);
    }
  }

  get(id: string): KeptResponse | null {
    return this.#byId.get(id) ?? null;
  }

  delete(id: string): boolean {
    return this.#byId.delete(id);
  }
}
