/**
 * The flags of `lmproxy serve`, in the order of `--help`. The command line, `--help`,
 * `--print-config` and the README's table are drawn from here.
 *
 * `--ssl`, `--tls-key`, `--tls-cert` and `--disable-cache-status` set no field of their own:
 * `serve-config.ts` makes `tls` and `statePath` of them.
 */
import { Type } from "@sinclair/typebox";
import { type Flag, flagGroup } from "./flag.ts";
import * as kinds from "./kinds.ts";
import { LIMIT_FLAGS } from "./limit-flags.ts";
import { OBSERVE_FLAGS } from "./observe-flags.ts";
import { PLATFORM_FLAGS } from "./platform-flags.ts";
import { ROUTING_FLAGS } from "./routing-flags.ts";
import { ConfigSchema, PRODUCTS } from "./schema.ts";

const { properties: fields } = ConfigSchema;
const Off = Type.Boolean({ default: false });
const Path = Type.String({ minLength: 1, pattern: "^[^\\x00-\\x1f\\x7f]+$" });

const path = kinds.text("the path of a file");

const listening = flagGroup("Listening", [
  {
    key: "host",
    names: ["host", "server-name"],
    argument: "address",
    kind: kinds.bindAddress,
    value: fields.host,
    help: "Address to listen on.",
  },
  {
    key: "port",
    names: ["port", "server-port"],
    argument: "number",
    kind: kinds.port,
    value: fields.port,
    help: "Port to listen on; 0 picks a free one and prints it.",
  },
  {
    key: "workers",
    names: ["workers"],
    argument: "number",
    kind: kinds.workerCount,
    value: fields.workers,
    mode: "Hybrid",
    help: "Processes that answer at the port, kept running by one more; auto: as many as cores. Default: one process does all.",
  },
  {
    key: "ssl",
    names: ["ssl"],
    value: Off,
    help: "Serve HTTPS with the files that SSL_KEYFILE and SSL_CERTFILE name.",
  },
  {
    key: "tlsKey",
    names: ["tls-key"],
    argument: "path",
    kind: path,
    value: Path,
    help: "Serve HTTPS with this private key (PEM); needs --tls-cert.",
  },
  {
    key: "tlsCert",
    names: ["tls-cert"],
    argument: "path",
    kind: path,
    value: Path,
    help: "Certificate chain (PEM) of --tls-key; lmproxy reload reads both again.",
  },
]);

const access = flagGroup("Access", [
  {
    key: "apiKeys",
    names: ["api-keys"],
    argument: "key",
    kind: kinds.namedKey,
    value: fields.apiKeys,
    isList: true,
    isSecret: true,
    help: "Keys that clients must send; @path reads one key a line. NAME:KEY names the client in logs and metrics.",
  },
  {
    key: "adminKey",
    names: ["admin-key"],
    argument: "key",
    kind: kinds.key,
    value: fields.adminKey,
    isSecret: true,
    help: "Key for administration, instead of an API key; @path reads it from a file.",
  },
  {
    key: "upstreamApiKey",
    names: ["upstream-api-key"],
    argument: "key",
    kind: kinds.key,
    value: fields.upstreamApiKey,
    isSecret: true,
    help: "Key that engines get with every request and poll; @path reads it from a file.",
  },
  {
    key: "forwardCredentials",
    names: ["forward-credentials"],
    value: fields.forwardCredentials,
    help: "Send engines the client's key, for one key on all; whoever registers a node sees keys.",
  },
  {
    key: "trustNodes",
    names: ["trust-nodes"],
    argument: "cidr",
    kind: kinds.cidr,
    value: fields.trustNodes,
    isList: true,
    help: "Networks whose engines may register without a key. Default: loopback and private ones; with --admin-key none.",
  },
  {
    key: "allowNodes",
    names: ["allow-nodes"],
    argument: "pattern",
    kind: kinds.cidrOrHostPattern,
    value: fields.allowNodes,
    isList: true,
    help: "Networks (CIDR) and host name patterns that node URLs must match. Default: any.",
  },
]);

const polling = flagGroup("Health and metrics", [
  {
    key: "metricsIntervalMs",
    names: ["metrics-interval"],
    argument: "seconds",
    kind: kinds.delaySeconds,
    value: fields.metricsIntervalMs,
    variables: ["LMDEPLOY_PROXY_POLL_METRICS_INTERVAL"],
    help: "Time between two reads of an engine's metrics.",
  },
  {
    key: "healthIntervalMs",
    names: ["health-interval"],
    argument: "seconds",
    kind: kinds.delaySeconds,
    value: fields.healthIntervalMs,
    variables: ["LMDEPLOY_HEALTH_CHECK_INTERVAL"],
    help: "Time between two probes of a node.",
  },
  {
    key: "healthTimeoutMs",
    names: ["health-timeout"],
    argument: "seconds",
    kind: kinds.delaySeconds,
    value: fields.healthTimeoutMs,
    variables: ["LMDEPLOY_HEALTH_CHECK_TIMEOUT"],
    help: "Time that a probe may take.",
  },
  {
    key: "healthPath",
    names: ["health-path"],
    argument: "path",
    kind: kinds.text("a path that begins with /"),
    value: fields.healthPath,
    help: "What to probe on engines without /health.",
  },
]);

const state = flagGroup("State", [
  {
    key: "statePath",
    names: ["state"],
    argument: "path",
    kind: path,
    value: fields.statePath,
    help: "File that keeps the nodes over a restart. Default: $XDG_STATE_HOME/lmproxy/nodes-PORT.json; none with port 0.",
  },
  {
    key: "disableCacheStatus",
    names: ["disable-cache-status"],
    value: Off,
    help: "Keep no state file.",
  },
  {
    key: "takeover",
    names: ["takeover"],
    value: fields.takeover,
    help: "Take port and state over from the lmproxy that runs, which finishes its streams; start as usual when none does.",
  },
]);

const information = flagGroup("Information", [
  {
    key: "as",
    names: ["as"],
    argument: "name",
    kind: kinds.choice(PRODUCTS),
    value: fields.as,
    help: `Take flags as ${PRODUCTS.join(", ")} does, and answer so where that differs from ours.`,
  },
  {
    key: "printConfig",
    names: ["print-config"],
    value: Off,
    help: "Show the configuration and where each value came from, keys masked, and end.",
  },
]);

export const SERVE_FLAGS: readonly Flag[] = [
  ...listening,
  ...ROUTING_FLAGS,
  ...access,
  ...polling,
  ...LIMIT_FLAGS,
  ...PLATFORM_FLAGS,
  ...state,
  ...OBSERVE_FLAGS,
  ...information,
];
