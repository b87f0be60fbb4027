import { Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";

const Entries = Type.Array(Type.Object({ key: Type.String(), value: Type.Unknown() }));
const Span = Type.Object({
  traceId: Type.String(),
  spanId: Type.String(),
  parentSpanId: Type.Optional(Type.String()),
  name: Type.String(),
  kind: Type.Number(),
  startTimeUnixNano: Type.String(),
  endTimeUnixNano: Type.String(),
  attributes: Entries,
  events: Type.Array(Type.Object({ name: Type.String() })),
  status: Type.Object({ code: Type.Number() }),
});
const Received = Type.Object({
  resourceSpans: Type.Array(
    Type.Object({
      resource: Type.Object({ attributes: Entries }),
      scopeSpans: Type.Array(Type.Object({ spans: Type.Array(Span) })),
    }),
  ),
});

/** A span as it was sent. */
export interface SentSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | null;
  readonly name: string;
  /** OTLP's: 2 for a server, 3 for a client. */
  readonly kind: number;
  /** From its start to its end, ms. */
  readonly tookMs: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly resource: Readonly<Record<string, unknown>>;
  readonly events: readonly string[];
  readonly isError: boolean;
}

export interface Collector extends AsyncDisposable {
  readonly url: string;
  readonly spans: SentSpan[];
  readonly requests: { path: string; headers: Headers; body: Uint8Array }[];
  of(traceId: string): SentSpan[];
}

/** Takes OTLP over HTTP; reads what comes as JSON. */
export function startCollector(): Collector {
  const spans: SentSpan[] = [];
  const requests: Collector["requests"] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const body = await request.bytes();
      const { headers, url } = request;
      requests.push({ path: new URL(url).pathname, headers, body });
      if (headers.get("content-type") === "application/json") spans.push(...read(body));
      return Response.json({});
    },
  });
  return {
    url: server.url.origin,
    spans,
    requests,
    of: (traceId) => spans.filter((span) => span.traceId === traceId),
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}

function read(body: Uint8Array): SentSpan[] {
  const received: unknown = JSON.parse(new TextDecoder().decode(body));
  Value.Assert(Received, received);
  return received.resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap((scope) =>
      scope.spans.map((span) => ({
        traceId: span.traceId,
        spanId: span.spanId,
        parentSpanId: span.parentSpanId ?? null,
        name: span.name,
        kind: span.kind,
        tookMs: Number(BigInt(span.endTimeUnixNano) - BigInt(span.startTimeUnixNano)) / 1e6,
        attributes: valuesOf(span.attributes),
        resource: valuesOf(resource.attributes),
        events: span.events.map(({ name }) => name),
        isError: span.status.code === 2,
      })),
    ),
  );
}

/** `{"intValue": 3}` is 3. */
function valuesOf(entries: readonly { key: string; value: unknown }[]): Record<string, unknown> {
  return Object.fromEntries(
    entries.map(({ key, value }) => [key, Object.values(Object(value)).at(0)]),
  );
}
