/**
 * The one description of the configuration: every value with its range, default and meaning.
 *
 * Durations are in milliseconds, sizes in bytes. `null` means not set, and for limits that there is
 * none. `serve-config.ts` makes the value; modules get the few fields they use, not the whole.
 */
import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { STRATEGY_NAMES } from "../core/strategies/index.ts";
import { MAX_DELAY_MS, MOST_WORKERS } from "./kinds.ts";
import { TracesSchema } from "./otel.ts";

/** One of a closed set of names. */
export function oneOf<const T extends string>(names: readonly T[], options: object = {}) {
  return Type.Unsafe<T>(
    Type.Union(
      names.map((name) => Type.Literal(name)),
      options,
    ),
  );
}

function orNull<T extends TSchema>(schema: T, description: string) {
  return Type.Union([schema, Type.Null()], { default: null, description });
}

function list(item: TSchema & { static: string }, description: string) {
  return Type.Array(item, { default: [], description });
}

/** A timer's delay of at least a millisecond. */
function delayMs(defaultMs: number, description: string) {
  return Type.Number({ minimum: 1, maximum: MAX_DELAY_MS, default: defaultMs, description });
}

/** A time limit for which 0 makes sense: do not wait at all. */
function waitMs(defaultMs: number, description: string) {
  return Type.Number({ minimum: 0, maximum: MAX_DELAY_MS, default: defaultMs, description });
}

function delayMsOrNull(description: string) {
  return orNull(Type.Number({ minimum: 1, maximum: MAX_DELAY_MS }), description);
}

function limitOrNull(description: string) {
  return orNull(Type.Integer({ minimum: 1 }), description);
}

export const LOG_LEVELS = ["trace", "debug", "info", "warning", "error", "fatal"] as const;
export const LOG_FORMATS = ["auto", "json", "logfmt", "text"] as const;
export const ACCESS_LOGS = ["off", "errors", "all"] as const;

/** Proxies and routers whose command lines and answers can be asked for by `--as`. */
export const PRODUCTS = ["lmdeploy", "vllm-router", "sglang-router", "smg"] as const;

/** Visible ASCII: what may stand in a header without quoting. */
const Key = Type.String({ pattern: "^[\\x21-\\x7e]+$", maxLength: 4096 });
const Text = Type.String({ minLength: 1, pattern: "^[^\\x00-\\x1f\\x7f]+$" });
const NodeUrl = Type.String({ minLength: 1, maxLength: 2048 });

export const ConfigSchema = Type.Object({
  host: Type.String({
    pattern: "^[^\\s/\\[\\]]+$",
    default: "0.0.0.0",
    description: "Bind address",
  }),
  port: Type.Integer({ minimum: 0, maximum: 65535, default: 8000, description: "0 picks one" }),
  tls: orNull(
    Type.Object({ keyPath: Text, certPath: Text }),
    "PEM files of the private key and the certificate chain",
  ),

  workers: orNull(
    Type.Union([Type.Integer({ minimum: 1, maximum: MOST_WORKERS }), Type.Literal("auto")]),
    "Processes that answer clients at the port; null: this one, alone",
  ),

  strategy: oneOf(STRATEGY_NAMES, { default: "min_expected_latency" }),
  prefillStrategy: orNull(oneOf(STRATEGY_NAMES), "Strategy among prefill nodes; null: `strategy`"),
  decodeStrategy: orNull(oneOf(STRATEGY_NAMES), "Strategy among decode nodes; null: `strategy`"),
  sticky: Type.Boolean({ default: false, description: "Sessions stay on their nodes" }),
  sessionHeaders: list(
    Type.String({ pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", maxLength: 100 }),
    "Headers that name a session, before those that are known",
  ),
  sessionTimeoutMs: delayMs(7_200_000, "How long a session without requests keeps its node"),
  servingStrategy: oneOf(["Hybrid", "DistServe"], { default: "Hybrid" }),
  nodes: list(NodeUrl, "Static nodes in Hybrid mode, as typed"),
  prefillNodes: list(NodeUrl, "Static prefill nodes, as typed"),
  decodeNodes: list(NodeUrl, "Static decode nodes, as typed"),

  migrationProtocol: oneOf(["RDMA", "NVLINK"], { default: "RDMA" }),
  linkType: oneOf(["RoCE", "IB"], { default: "RoCE" }),
  gdr: Type.Boolean({ default: true, description: "GPU-direct RDMA" }),
  dummyPrefill: Type.Boolean({ default: false, description: "Skip the prefill step" }),
  warmup: Type.Boolean({ default: true, description: "Connect a node's pairs when it joins" }),

  apiKeys: list(Key, "Keys for inference; empty: open to all"),
  adminKey: orNull(Key, "Key for administration; null: an API key does"),
  forwardPaths: list(
    Type.String({ pattern: "^(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+$", maxLength: 200 }),
    "Paths that are forwarded beside those that are known",
  ),
  forwardCredentials: Type.Boolean({
    default: false,
    description: "Clients' keys go on to engines",
  }),
  as: orNull(oneOf(PRODUCTS), "Whose command line and answers to take for a model"),
  upstreamApiKey: orNull(Key, "Key sent to engines on every request and poll"),
  trustNodes: orNull(Type.Array(Text), "CIDRs whose peers may add nodes; null: not given"),
  allowNodes: list(Text, "CIDRs and host patterns that node URLs must match; empty: any"),

  metricsIntervalMs: delayMs(5000, "Between two reads of an engine's metrics"),
  healthIntervalMs: delayMs(5000, "Between two probes of a node"),
  healthTimeoutMs: delayMs(5000, "Limit of one probe"),
  healthPath: Type.String({ pattern: "^/[\\x21-\\x7e]*$", default: "/health" }),

  maxBodyBytes: Type.Integer({
    minimum: 1,
    default: 64 * 1024 * 1024,
    description: "Largest request body",
  }),
  maxHeaderBytes: Type.Integer({
    minimum: 1024,
    maximum: 128 * 1024,
    default: 64 * 1024,
    description: "Largest headers of a request",
  }),
  maxBodyMemoryBytes: orNull(
    Type.Integer({ minimum: 1 }),
    "Limit of all request bodies together; null: a quarter of the memory",
  ),
  timeoutMs: delayMsOrNull("Limit of a whole request"),
  connectTimeoutMs: delayMs(5000, "Limit of connecting to an engine"),
  firstByteTimeoutMs: delayMsOrNull("Limit of waiting for an engine's first byte"),
  idleTimeoutMs: delayMsOrNull("Limit between two reads of an engine's answer"),
  sseKeepaliveMs: delayMsOrNull("Comments sent to a stream that waits for its first word, each"),
  bodyTimeoutMs: delayMs(30_000, "Limit between two reads of a client's body"),
  retry: Type.Boolean({ default: true, description: "Try another node before the first byte" }),
  retrySent: Type.Boolean({
    default: true,
    description: "Send a request again that was lost after it had been sent",
  }),

  maxConcurrency: limitOrNull("Requests in flight"),
  maxConcurrencyPerNode: limitOrNull("Requests in flight on one node"),
  maxConcurrencyPerClient: limitOrNull("Requests in flight of one client, by key or else address"),
  queueSize: Type.Integer({ minimum: 0, default: 1000, description: "Requests that may wait" }),
  queueTimeoutMs: waitMs(30_000, "Longest wait in the queue"),
  drainTimeoutMs: waitMs(60_000, "How long streams may finish after SIGTERM"),

  trustedProxies: list(Text, "CIDRs of proxies in front whose word on the client counts"),
  modelAliases: list(Text, "Further names of models, each as ALIAS=NAME"),
  requestIdHeaders: list(
    Type.String({ pattern: "^[-!#$%&'*+.^`|~\\w]+$", maxLength: 256 }),
    "Headers that may hold a request's id, before those that are known",
  ),
  allowedOrigins: list(Text, "Origins whose pages may call; none or * for any"),
  adminHosts: list(
    Type.String({ pattern: "^[A-Za-z0-9_.-]+$", maxLength: 253 }),
    "Names under which browsers may administer without a key",
  ),
  keepAliveMs: Type.Number({
    minimum: 1_000,
    maximum: 255_000,
    default: 75_000,
    description: "How long a client's connection may stand idle",
  }),
  shutdownDelayMs: waitMs(0, "How long to go on serving after SIGTERM"),

  statePath: orNull(Text, "File that keeps the registry"),
  takeover: Type.Boolean({ default: false, description: "Take the place of the proxy that runs" }),
  logLevel: oneOf(LOG_LEVELS, { default: "info" }),
  logFormat: oneOf(LOG_FORMATS, { default: "auto" }),
  metricsPort: Type.Union([Type.Integer({ minimum: 0, maximum: 65_535 }), Type.Null()], {
    default: null,
    description: "Port that serves /metrics to anybody",
  }),
  metricsHost: Type.String({ pattern: "^[^\\s/\\[\\]]+$", default: "127.0.0.1" }),
  accessLog: Type.Union([oneOf(ACCESS_LOGS), Type.Integer({ minimum: 0 })], {
    default: "all",
    description: "Which requests get a line; a number: those that took so many ms, and errors",
  }),
  explainBytes: Type.Integer({
    minimum: 0,
    default: 8 * 1024 * 1024,
    description: "What is kept to explain requests that have ended",
  }),
  traces: orNull(TracesSchema, "Which requests are traced, and how that is sent"),
  exposeNode: Type.Boolean({ default: false, description: "Tell clients which node answered" }),
});

type DeepReadonly<T> = T extends (infer Item)[]
  ? readonly Item[]
  : T extends object
    ? { readonly [K in keyof T]: DeepReadonly<T[K]> }
    : T;

/** The configuration of a proxy: frozen, read once, handed down. */
export type Config = DeepReadonly<Static<typeof ConfigSchema>>;
