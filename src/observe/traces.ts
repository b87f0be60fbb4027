/** Traces, sent by OpenTelemetry's own packages. Loaded only when there are any: nobody else pays for it. */
import {
  type Context,
  type DiagLogger,
  DiagLogLevel,
  diag,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace as traceApi,
} from "@opentelemetry/api";
import { type ExportResult, ExportResultCode } from "@opentelemetry/core";
import { OTLPTraceExporter as JsonExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as ProtobufExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import {
  defaultResource,
  detectResources,
  envDetector,
  resourceFromAttributes,
} from "@opentelemetry/resources";
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type ReadableSpan,
  type Sampler,
  SamplingDecision,
  type SpanExporter,
  TraceIdRatioBasedSampler,
} from "@opentelemetry/sdk-trace";
import { version } from "../../package.json";
import { type Clock, within } from "../core/clock.ts";
import type { Exchange } from "../core/exchange.ts";
import { readTraceparent, Trace, type TraceParent } from "../core/trace.ts";
import type { EventLog } from "./log.ts";
import { type SpanRecord, spansOf } from "./spans.ts";

export interface TracesOptions {
  readonly protocol: "http/protobuf" | "http/json";
  readonly sampler: string;
  /** Of traces that begin here, the share that is recorded. */
  readonly ratio: number;
  readonly queueSize: number;
  readonly batchSize: number;
  readonly delayMs: number;
  readonly timeoutMs: number;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly log: EventLog;
}

/** A collector that is away is said at once, and then so often, ms. */
const SAY_EVERY_MS = 60_000;
/** What the last spans may take to get out when the proxy ends, ms. */
const LAST_WORDS_MS = 2_000;

/** One for all spans: they are sorted by which it is, and each of its own would be sent with it. */
const SCOPE = { name: "lmproxy", version };
/** Hexadecimal digits of an id. */
const TRACE_ID = 32;
const SPAN_ID = 16;

export class Traces {
  readonly #options: TracesOptions;
  readonly #sampler: Sampler;
  readonly #processor: BatchSpanProcessor;
  readonly #resource: ReadableSpan["resource"];
  readonly #digits: Digits;
  readonly #newSpanId = () => this.#digits.take(SPAN_ID);

  constructor(options: TracesOptions) {
    this.#options = options;
    const { queueSize, batchSize, delayMs, timeoutMs, protocol, log } = options;
    this.#sampler = samplerOf(options);
    this.#digits = new Digits(options.random);
    const exporter = protocol === "http/json" ? new JsonExporter() : new ProtobufExporter();
    this.#processor = new BatchSpanProcessor({
      exporter: new Told(exporter, options),
      maxQueueSize: queueSize,
      maxExportBatchSize: batchSize,
      scheduledDelayMillis: delayMs,
      exportTimeoutMillis: timeoutMs,
    });
    this.#resource = defaultResource()
      .merge(resourceFromAttributes({ "service.name": "lmproxy", "service.version": version }))
      .merge(detectResources({ detectors: [envDetector] }));
    // From here on it says how many spans were dropped. Before, it would repeat values of variables.
    diag.setLogger(dropsInto(log), { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true });
  }

  /** A request begins: goes on with its client's trace, or begins one. The sampler is asked here, and never again. */
  readonly begin = ({ request, route }: Exchange): Trace => {
    const parent = readTraceparent(request.headers.get("traceparent"));
    const traceId = parent?.traceId ?? this.#digits.take(TRACE_ID);
    const above = parent === null ? ROOT_CONTEXT : contextOf(parent);
    const { decision } = this.#sampler.shouldSample(above, traceId, route, SpanKind.SERVER, {}, []);
    if (decision === SamplingDecision.RECORD_AND_SAMPLED) {
      return new Trace(parent, traceId, this.#newSpanId(), this.#newSpanId);
    }
    // Nobody records it: any id will do that is not its parent's.
    const spanId = parent === null ? traceId.slice(SPAN_ID) : this.#newSpanId();
    return new Trace(parent, traceId, spanId, null);
  };

  /** A request has ended. */
  readonly ended = (exchange: Exchange): void => {
    const { trace } = exchange;
    if (trace === null || !trace.sampled) return;
    const { clock } = this.#options;
    const toWallMs = clock.wallMs() - clock.now();
    for (const span of spansOf(exchange, trace)) {
      this.#processor.onEnd(this.#readable(span, trace, toWallMs));
    }
  };

  /** Sends what waits, as far as there is somebody to take it. */
  async stop(): Promise<void> {
    // What could not be sent has been said.
    const isSent = this.#processor.shutdown().catch(() => {});
    await within(this.#options.clock, LAST_WORDS_MS, isSent);
  }

  #readable(span: SpanRecord, { traceId }: Trace, toWallMs: number): ReadableSpan {
    const context = { traceId, traceFlags: TraceFlags.SAMPLED };
    const { parentSpanId, isParentRemote, startMs, endMs, error } = span;
    return {
      name: span.name,
      kind: span.kind === "server" ? SpanKind.SERVER : SpanKind.CLIENT,
      spanContext: () => ({ ...context, spanId: span.spanId }),
      ...(parentSpanId !== null && {
        parentSpanContext: { ...context, spanId: parentSpanId, isRemote: isParentRemote },
      }),
      startTime: hrTime(toWallMs + startMs),
      endTime: hrTime(toWallMs + endMs),
      duration: hrTime(endMs - startMs),
      status:
        error === null
          ? { code: SpanStatusCode.UNSET }
          : { code: SpanStatusCode.ERROR, message: error },
      attributes: span.attributes,
      events: span.events.map(({ name, atMs, attributes }) => ({
        name,
        time: hrTime(toWallMs + atMs),
        attributes,
      })),
      links: [],
      ended: true,
      resource: this.#resource,
      instrumentationScope: SCOPE,
      droppedAttributesCount: 0,
      droppedEventsCount: 0,
      droppedLinksCount: 0,
    };
  }
}

function samplerOf({ sampler, ratio }: TracesOptions): Sampler {
  const root = sampler.endsWith("always_on")
    ? new AlwaysOnSampler()
    : sampler.endsWith("always_off")
      ? new AlwaysOffSampler()
      : new TraceIdRatioBasedSampler(ratio);
  return sampler.startsWith("parentbased_") ? new ParentBasedSampler({ root }) : root;
}

/** An exporter whose failures and recoveries are said in the log, without one line for each. */
class Told implements SpanExporter {
  readonly #exporter: SpanExporter;
  readonly #options: TracesOptions;
  #lost = 0;
  #saidAtMs = Number.NEGATIVE_INFINITY;

  constructor(exporter: SpanExporter, options: TracesOptions) {
    this.#exporter = exporter;
    this.#options = options;
  }

  export(spans: ReadableSpan[], done: (result: ExportResult) => void): void {
    this.#exporter.export(spans, (result) => {
      if (result.code === ExportResultCode.SUCCESS) this.#taken();
      else this.#notTaken(spans.length, result.error);
      done(result);
    });
  }

  async shutdown(): Promise<void> {
    await this.#exporter.shutdown();
  }

  #taken(): void {
    if (this.#lost === 0) return;
    this.#options.log.info("the collector takes traces again", { spans_lost: this.#lost });
    this.#lost = 0;
    this.#saidAtMs = Number.NEGATIVE_INFINITY;
  }

  #notTaken(spans: number, error: Error | undefined): void {
    const { clock, log } = this.#options;
    this.#lost += spans;
    if (clock.now() - this.#saidAtMs < SAY_EVERY_MS) return;
    this.#saidAtMs = clock.now();
    const reason = error === undefined ? "no reason given" : reasonOf(error).slice(0, 200);
    log.warning("the collector takes no traces", { reason, spans_lost: this.#lost });
  }
}

/** An answer's error says no more than the words after its status, and those may be missing. */
function reasonOf(error: Error): string {
  const isAnswer = "code" in error && typeof error.code === "number";
  return isAnswer ? `it answered ${error.code} ${error.message}`.trimEnd() : error.message;
}

/** What OpenTelemetry warns of while it runs is how many spans found no room. */
function dropsInto(log: EventLog): DiagLogger {
  const nothing = () => {};
  const warn = (message: string) => log.warning("traces", { warning: message.slice(0, 200) });
  return { error: nothing, warn, info: nothing, debug: nothing, verbose: nothing };
}

/** Random hexadecimal digits. Drawn for many requests at once: one request's alone cost it several times as much. */
class Digits {
  readonly #random: () => number;
  readonly #words = new Uint32Array(512);
  #drawn = "";
  #taken = 0;

  constructor(random: () => number) {
    this.#random = random;
  }

  take(count: number): string {
    if (this.#taken + count > this.#drawn.length) this.#draw();
    this.#taken += count;
    return this.#drawn.slice(this.#taken - count, this.#taken);
  }

  #draw(): void {
    for (let i = 0; i < this.#words.length; i += 1) this.#words[i] = this.#random() * 2 ** 32;
    this.#drawn = Buffer.from(this.#words.buffer).toString("hex");
    this.#taken = 0;
  }
}

function contextOf({ traceId, spanId, sampled }: TraceParent): Context {
  const traceFlags = sampled ? TraceFlags.SAMPLED : TraceFlags.NONE;
  return traceApi.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags, isRemote: true });
}

/** ms as whole seconds and ns. */
function hrTime(ms: number): [number, number] {
  const seconds = Math.floor(ms / 1_000);
  return [seconds, Math.round((ms - seconds * 1_000) * 1e6)];
}
