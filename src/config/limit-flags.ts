/** The flags of `lmproxy serve` that limit time, size and load, and those for retries. */
import { type Flag, flagGroup } from "./flag.ts";
import * as kinds from "./kinds.ts";
import { ConfigSchema } from "./schema.ts";

const { properties: fields } = ConfigSchema;

const forwarding = flagGroup("Requests", [
  {
    key: "forwardPaths",
    names: ["forward"],
    argument: "path",
    kind: kinds.text("a path such as /my/inference, of letters, digits and . _ ~ -"),
    value: fields.forwardPaths,
    isList: true,
    help: "A path beside the known ones whose POSTs go to engines; none that changes an engine.",
  },
  {
    key: "maxBodyBytes",
    names: ["max-body"],
    argument: "size",
    kind: kinds.byteSize,
    value: fields.maxBodyBytes,
    help: "Largest request body.",
  },
  {
    key: "maxHeaderBytes",
    names: ["max-header-size"],
    argument: "size",
    kind: { ...kinds.byteSize, expects: "a size from 1KiB to 128KiB" },
    value: fields.maxHeaderBytes,
    help: "Largest headers of a request, up to 128KiB.",
  },
  {
    key: "maxBodyMemoryBytes",
    names: ["max-body-memory"],
    argument: "size",
    kind: kinds.byteSize,
    value: fields.maxBodyMemoryBytes,
    help: "Memory for all request bodies together; more are refused for the moment. Default: a quarter of the memory.",
  },
  {
    key: "timeoutMs",
    names: ["timeout"],
    argument: "seconds",
    kind: kinds.secondsOrNoLimit,
    value: fields.timeoutMs,
    variables: ["AIOHTTP_TIMEOUT"],
    help: "Time that a whole request may take. Default: no limit.",
  },
  {
    key: "connectTimeoutMs",
    names: ["connect-timeout"],
    argument: "seconds",
    kind: kinds.delaySeconds,
    value: fields.connectTimeoutMs,
    help: "Time that connecting to an engine may take.",
  },
  {
    key: "firstByteTimeoutMs",
    names: ["first-byte-timeout"],
    argument: "seconds",
    kind: kinds.secondsOrNoLimit,
    value: fields.firstByteTimeoutMs,
    help: "Time until an engine's first byte. Default: no limit, since a prefill may be long.",
  },
  {
    key: "idleTimeoutMs",
    names: ["idle-timeout"],
    argument: "seconds",
    kind: kinds.secondsOrNoLimit,
    value: fields.idleTimeoutMs,
    help: "Time between two pieces of an engine's answer. Default: no limit.",
  },
  {
    key: "sseKeepaliveMs",
    names: ["sse-keepalive"],
    argument: "seconds",
    kind: kinds.secondsOrNoLimit,
    value: fields.sseKeepaliveMs,
    help: "Begin a stream that waits so long for its first word, and send it a comment each time. Its status is 200 then, whatever comes. Default: never.",
  },
  {
    key: "bodyTimeoutMs",
    names: ["body-timeout"],
    argument: "seconds",
    kind: kinds.delaySeconds,
    value: fields.bodyTimeoutMs,
    help: "Time between two pieces of a client's body; on the whole, at least 64 KiB have to come within it.",
  },
  {
    key: "retry",
    names: ["no-retry"],
    value: fields.retry,
    sets: false,
    help: "Never try another node after a failure.",
  },
  {
    key: "retrySent",
    names: ["no-retry-sent"],
    value: fields.retrySent,
    sets: false,
    help: "Do not send a request again that was lost after an engine had got it.",
  },
]);

const overload = flagGroup("Overload", [
  {
    key: "maxConcurrency",
    names: ["max-concurrency"],
    argument: "number",
    kind: kinds.countOrNoLimit,
    value: fields.maxConcurrency,
    variables: ["LMDEPLOY_PROXY_CONN_LIMIT"],
    help: "Requests in flight through the proxy; more wait in the queue. Default: no limit.",
  },
  {
    key: "maxConcurrencyPerNode",
    names: ["max-concurrency-per-node"],
    argument: "number",
    kind: kinds.countOrNoLimit,
    value: fields.maxConcurrencyPerNode,
    variables: ["LMDEPLOY_PROXY_CONN_LIMIT_PER_HOST"],
    help: "Requests in flight on one node. Default: no limit.",
  },
  {
    key: "maxConcurrencyPerClient",
    names: ["max-concurrency-per-client"],
    argument: "number",
    kind: kinds.countOrNoLimit,
    value: fields.maxConcurrencyPerClient,
    help: "Requests in flight of one client, by its key or else its address. Default: no limit.",
  },
  {
    key: "queueSize",
    names: ["queue-size"],
    argument: "number",
    kind: kinds.wholeNumber("a whole number, 0 or more"),
    value: fields.queueSize,
    help: "Requests that may wait for a free place.",
  },
  {
    key: "queueTimeoutMs",
    names: ["queue-timeout"],
    argument: "seconds",
    kind: kinds.waitSeconds,
    value: fields.queueTimeoutMs,
    help: "Time that a request may wait for a free place, or for a node that is coming back.",
  },
  {
    key: "drainTimeoutMs",
    names: ["drain-timeout"],
    argument: "seconds",
    kind: kinds.waitSeconds,
    value: fields.drainTimeoutMs,
    help: "Time that streams may go on after SIGTERM before they are cancelled.",
  },
]);

export const LIMIT_FLAGS: readonly Flag[] = [...forwarding, ...overload];
