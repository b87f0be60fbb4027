/**
 * OpenTelemetry's own variables, as far as they decide about traces. Where they lead to, with which
 * headers and certificates, is read by OpenTelemetry's exporter itself. Source:
 * https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
 */
import { type Static, Type } from "@sinclair/typebox";
import { MAX_DELAY_MS } from "./kinds.ts";
import type { Note } from "./note.ts";
import type { Environment } from "./resolve.ts";

const PROTOCOLS = ["http/protobuf", "http/json"] as const;
const SAMPLERS = [
  "always_on",
  "always_off",
  "traceidratio",
  "parentbased_always_on",
  "parentbased_always_off",
  "parentbased_traceidratio",
] as const;

const literals = <const T extends string>(names: readonly T[]) =>
  Type.Unsafe<T>(Type.Union(names.map((name) => Type.Literal(name))));
const delayMs = Type.Integer({ minimum: 0, maximum: MAX_DELAY_MS });
const count = Type.Integer({ minimum: 1, maximum: 1_000_000 });

export const TracesSchema = Type.Object({
  /** Where they go to: the origin, for people. */
  to: Type.String(),
  protocol: literals(PROTOCOLS),
  sampler: literals(SAMPLERS),
  /** Of traces that begin here, the share that is recorded. */
  ratio: Type.Number({ minimum: 0, maximum: 1 }),
  /** Spans that may wait to be sent. */
  queueSize: count,
  batchSize: count,
  /** Between two sendings. */
  delayMs,
  /** For one of them. */
  timeoutMs: delayMs,
});

export interface ReadTraces {
  /** Null when nothing is traced. */
  readonly traces: Static<typeof TracesSchema> | null;
  readonly notes: readonly Note[];
}

const ENDPOINTS = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"] as const;
const DEFAULT_ENDPOINT = "http://localhost:4318";
/** They mean something whether traces are sent or not. */
const ALWAYS = /^OTEL_(?:SDK_DISABLED|SERVICE_NAME|RESOURCE_ATTRIBUTES|TRACES_EXPORTER)$/;
const USED =
  /^OTEL_(?:TRACES_SAMPLER(?:_ARG)?|BSP_(?:SCHEDULE_DELAY|EXPORT_TIMEOUT|MAX_QUEUE_SIZE|MAX_EXPORT_BATCH_SIZE)|EXPORTER_OTLP_(?:TRACES_)?(?:ENDPOINT|PROTOCOL|HEADERS|TIMEOUT|COMPRESSION|CERTIFICATE|CLIENT_KEY|CLIENT_CERTIFICATE))$/;

/** Whether traces are sent, and how. Values are not repeated in notes: headers hold keys. */
export function readTraces(env: Environment): ReadTraces {
  const set = Object.keys(env).filter((name) => name.startsWith("OTEL_") && env[name]);
  if (env.OTEL_SDK_DISABLED?.toLowerCase() === "true") return { traces: null, notes: [] };
  const exporter = env.OTEL_TRACES_EXPORTER?.toLowerCase() || "otlp";
  if (exporter === "none") return { traces: null, notes: [] };
  const notes: Note[] = [];
  const warn = (text: string) => notes.push({ level: "warning", text });
  const endpointName = ENDPOINTS.find((name) => env[name]);
  const isOn = endpointName !== undefined || env.OTEL_TRACES_EXPORTER?.toLowerCase() === "otlp";
  const idle = set.filter((name) => !ALWAYS.test(name) && !(isOn && USED.test(name)));
  if (exporter !== "otlp")
    warn(`OTEL_TRACES_EXPORTER can be otlp or none here; no traces are sent`);
  if (idle.length > 0) notes.push({ level: "info", text: idleText(idle, isOn) });
  if (!isOn || exporter !== "otlp") return { traces: null, notes };
  const to = originOf(env[endpointName ?? ""] ?? DEFAULT_ENDPOINT);
  if (to === null) {
    warn(`${endpointName} must be a URL, such as ${DEFAULT_ENDPOINT}; no traces are sent`);
    return { traces: null, notes };
  }
  const number = (name: string, fallback: number, least: number, most: number) => {
    const text = env[name];
    if (!text) return fallback;
    const value = Number(text);
    if (text.trim() !== "" && value >= least && value <= most) return value;
    warn(`${name} must be a number from ${least} to ${most}; ${fallback} is used`);
    return fallback;
  };
  const whole = (name: string, fallback: number, least: number, most: number) =>
    Math.floor(number(name, fallback, least, most));
  const sampler = one("OTEL_TRACES_SAMPLER", SAMPLERS, "parentbased_always_on", env, warn);
  const protocolName = env.OTEL_EXPORTER_OTLP_TRACES_PROTOCOL
    ? "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
    : "OTEL_EXPORTER_OTLP_PROTOCOL";
  if (env.OTEL_TRACES_SAMPLER_ARG && !sampler.endsWith("traceidratio")) {
    warn(`OTEL_TRACES_SAMPLER_ARG has no effect on the sampler ${sampler}`);
  }
  const queueSize = whole("OTEL_BSP_MAX_QUEUE_SIZE", 2_048, 1, 1_000_000);
  return {
    traces: {
      to,
      protocol: one(protocolName, PROTOCOLS, "http/protobuf", env, warn),
      sampler,
      ratio: sampler.endsWith("traceidratio") ? number("OTEL_TRACES_SAMPLER_ARG", 1, 0, 1) : 1,
      queueSize,
      batchSize: Math.min(queueSize, whole("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512, 1, 1_000_000)),
      delayMs: whole("OTEL_BSP_SCHEDULE_DELAY", 5_000, 0, MAX_DELAY_MS),
      timeoutMs: whole("OTEL_BSP_EXPORT_TIMEOUT", 30_000, 0, MAX_DELAY_MS),
    },
    notes,
  };
}

/** Which variable switched traces on. */
export function tracesVariable(env: Environment): string {
  return ENDPOINTS.find((name) => env[name]) ?? "OTEL_TRACES_EXPORTER";
}

function one<const T extends string>(
  name: string,
  names: readonly T[],
  fallback: T,
  env: Environment,
  warn: (text: string) => void,
): T {
  const text = env[name]?.trim().toLowerCase();
  if (!text) return fallback;
  const found = names.find((known) => known === text);
  if (found === undefined) warn(`${name} can be ${names.join(", ")}; ${fallback} is used`);
  return found ?? fallback;
}

function originOf(text: string): string | null {
  const url = URL.parse(text);
  return url !== null && /^https?:$/.test(url.protocol) ? url.origin : null;
}

function idleText(names: readonly string[], isOn: boolean): string {
  const shown = names.filter((name) => /^\w{1,60}$/.test(name)).slice(0, 10);
  const list = shown.length < names.length ? [...shown, "…"] : shown;
  const why = isOn ? "traces are all that is sent" : "no OTEL_EXPORTER_OTLP_ENDPOINT is set";
  return `no effect here: ${list.join(", ")}; ${why}`;
}
