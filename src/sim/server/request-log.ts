/** The requests that an engine has seen, kept and counted for those who test with it. */
import type { Call } from "./call.ts";
import type { EngineDebugState, SeenRequest } from "./engine-options.ts";

/** How a request ended, as the engine sees it. */
export type RequestEnd = "completed" | "cancelled" | "failed";

/** Paths counted singly; a fuzzer invents more than one wants to keep. */
const MAX_COUNTED_PATHS = 200;

export class RequestLog {
  readonly #kept: number;
  #open = 0;
  #total = 0;
  #connections = 0;
  readonly #ends: Record<RequestEnd, number> = { completed: 0, cancelled: 0, failed: 0 };
  readonly #byPath = new Map<string, number>();
  #last: SeenRequest[] = [];
  #lastBody: Uint8Array = new Uint8Array(0);
  #whenIdle: (() => void) | null = null;

  /** `kept`: how many requests are remembered. */
  constructor(kept: number) {
    this.#kept = kept;
  }

  get ends(): Readonly<Record<RequestEnd, number>> {
    return this.#ends;
  }

  get totalRequests(): number {
    return this.#total;
  }

  countConnection(): void {
    this.#connections += 1;
  }

  /** Notes a request of any kind. */
  see(call: Call, target: string): void {
    const isNew = !this.#byPath.has(call.path);
    const path = isNew && this.#byPath.size >= MAX_COUNTED_PATHS ? "other" : call.path;
    this.#byPath.set(path, (this.#byPath.get(path) ?? 0) + 1);
    if (call.method !== "POST" || call.path.startsWith("/debug")) return;
    this.#lastBody = call.bytes;
    const headers = Object.fromEntries(call.headers);
    this.#last.push({ method: call.method, target, headers });
    if (this.#last.length > 2 * this.#kept) this.#last = this.#last.slice(-this.#kept);
  }

  /** Counts an inference request as open until the function it returns is called (the first call counts). */
  open(): (end: RequestEnd) => void {
    this.#open += 1;
    this.#total += 1;
    let isOpen = true;
    return (end) => {
      if (!isOpen) return;
      isOpen = false;
      this.#open -= 1;
      this.#ends[end] += 1;
      if (this.#open === 0) this.#whenIdle?.();
    };
  }

  /** Resolves when no inference request is open. */
  async untilIdle(): Promise<void> {
    while (this.#open > 0) {
      await new Promise<void>((resolve) => {
        this.#whenIdle = resolve;
      });
    }
  }

  state(): Pick<
    EngineDebugState,
    | "openRequests"
    | "totalRequests"
    | "completedRequests"
    | "cancelledRequests"
    | "failedRequests"
    | "requestsByPath"
    | "connections"
    | "lastRequests"
    | "lastBodyBase64"
  > {
    return {
      openRequests: this.#open,
      totalRequests: this.#total,
      completedRequests: this.#ends.completed,
      cancelledRequests: this.#ends.cancelled,
      failedRequests: this.#ends.failed,
      requestsByPath: Object.fromEntries(this.#byPath),
      connections: this.#connections,
      lastRequests: this.#last.slice(-this.#kept),
      lastBodyBase64: Buffer.from(this.#lastBody).toString("base64"),
    };
  }
}
