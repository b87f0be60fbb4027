/** Which trace a request belongs to. Source: W3C Trace Context, https://www.w3.org/TR/trace-context/ */

export interface TraceParent {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** 16 of them. */
  readonly spanId: string;
  /** Whether whoever sent it records this trace. */
  readonly sampled: boolean;
}

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** A `traceparent` header; null for none, and for one that is not right. */
export function readTraceparent(header: string | null): TraceParent | null {
  if (header === null) return null;
  const [, version, traceId = "", spanId = "", flags = "", rest] =
    TRACEPARENT.exec(header.trim()) ?? [];
  if (version === undefined || version === "ff" || (version === "00" && rest !== undefined)) {
    return null;
  }
  if (isZero(traceId) || isZero(spanId)) return null;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

function isZero(id: string): boolean {
  return /^0+$/.test(id);
}

/** One request's part in a trace: a span of its own, and one for each attempt. */
export class Trace {
  readonly traceId: string;
  readonly spanId: string;
  /** The client's span; null when it named none. */
  readonly parent: TraceParent | null;
  /** Spans of the attempts, in their order; none unless it is recorded. */
  readonly attempts: string[] = [];
  readonly #newSpanId: (() => string) | null;

  /** @param newSpanId For the spans of its attempts; null when it is not recorded. */
  constructor(
    parent: TraceParent | null,
    traceId: string,
    spanId: string,
    newSpanId: (() => string) | null,
  ) {
    this.parent = parent;
    this.traceId = traceId;
    this.spanId = spanId;
    this.#newSpanId = newSpanId;
  }

  /** Whether it is recorded: asked once, before anything is done. */
  get sampled(): boolean {
    return this.#newSpanId !== null;
  }

  /** Another attempt begins. */
  attempt(): void {
    if (this.#newSpanId !== null) this.attempts.push(this.#newSpanId());
  }

  /** Says in the headers of the attempt that has just begun to what it belongs. */
  inject(headers: Headers): void {
    const spanId = this.attempts.at(-1) ?? this.spanId;
    const flags = this.sampled ? "01" : "00";
    headers.set("traceparent", `00-${this.traceId}-${spanId}-${flags}`);
    // It belongs to the trace that its sender named.
    if (this.parent === null) headers.delete("tracestate");
  }
}
