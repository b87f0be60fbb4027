/** What `lmproxy serve` says of what it does: the log, the metrics. */
import { type Flag, flagGroup } from "./flag.ts";
import * as kinds from "./kinds.ts";
import { ACCESS_LOGS, ConfigSchema, LOG_FORMATS, LOG_LEVELS } from "./schema.ts";

const { properties: fields } = ConfigSchema;

const LEVEL_ALIASES = { warn: "warning", critical: "fatal", notset: "trace", request: "info" };

export const LEVEL_KIND = kinds.choice(LOG_LEVELS, LEVEL_ALIASES);

export const OBSERVE_FLAGS: readonly Flag[] = flagGroup("Log and metrics", [
  {
    key: "logLevel",
    names: ["log-level"],
    argument: "level",
    kind: LEVEL_KIND,
    value: fields.logLevel,
    help: `Least severe message to log: ${LOG_LEVELS.join(", ")}, or Python's names.`,
  },
  {
    key: "logFormat",
    names: ["log-format"],
    argument: "format",
    kind: kinds.choice(LOG_FORMATS),
    value: fields.logFormat,
    help: `${LOG_FORMATS.join(", ")}; auto: text on a terminal, else json.`,
  },
  {
    key: "accessLog",
    names: ["access-log"],
    argument: "which",
    kind: {
      expects: "off, errors, all or slow=SECONDS",
      parse: (given) => {
        const slow = /^slow=(\d+(?:\.\d+)?)s?$/i.exec(given)?.[1];
        if (slow !== undefined) return Math.round(Number(slow) * 1_000);
        return ACCESS_LOGS.find((name) => name === given.toLowerCase());
      },
      show: (value) => (typeof value === "number" ? `slow=${value / 1_000}` : String(value)),
    },
    value: fields.accessLog,
    help: "Requests that get a line: off, errors, slow=2 (errors too), all.",
  },
  {
    key: "explainBytes",
    names: ["explain-memory"],
    argument: "size",
    kind: { ...kinds.byteSize, expects: "a size such as 8388608, 512KiB or 8MiB, or 0" },
    value: fields.explainBytes,
    help: "Memory for explanations of requests that have ended; 0 for none.",
  },
  {
    key: "exposeNode",
    names: ["expose-node"],
    value: fields.exposeNode,
    help: "Name the node and the attempts on answers: X-Lmproxy-Node, X-Lmproxy-Attempts.",
  },
  {
    key: "metricsPort",
    names: ["metrics-port"],
    argument: "number",
    kind: kinds.port,
    value: fields.metricsPort,
    help: "Port that serves /metrics to anybody. Default: only the main port, to administrators.",
  },
  {
    key: "metricsHost",
    names: ["metrics-host"],
    argument: "address",
    kind: kinds.bindAddress,
    value: fields.metricsHost,
    help: "Address of that port.",
  },
]);
