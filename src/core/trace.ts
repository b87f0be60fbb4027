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
  const [, version, traceId = "", spanId = "", flags = "", rest] =
    TRACEPARENT.exec(header?.trim() ?? "") ?? [];
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
  /** Whether it is recorded: asked once, before anything is done. */
  readonly sampled: boolean;
  /** Spans of the attempts, in their order; none unless it is recorded. */
  readonly attempts: string[] = [];
  readonly #newSpanId: () => string;

  constructor(
    parent: TraceParent | null,
    traceId: string,
    sampled: boolean,
    newSpanId: () => string,
  ) {
    this.parent = parent;
    this.traceId = traceId;
    this.spanId = newSpanId();
    this.sampled = sampled;
    this.#newSpanId = newSpanId;
  }

  /** Another attempt begins. */
  attempt(): void {
    if (this.sampled) this.attempts.push(this.#newSpanId());
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
