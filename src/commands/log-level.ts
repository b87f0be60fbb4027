/** `lmproxy log-level`: how much a running proxy logs, and how its lines look. */
import { Type } from "@sinclair/typebox";
import { Command } from "commander";
import { flagGroup } from "../config/flag.ts";
import * as kinds from "../config/kinds.ts";
import { LEVEL_KIND } from "../config/observe-flags.ts";
import { LOG_FORMATS, LOG_LEVELS, oneOf } from "../config/schema.ts";
import { UsageError } from "../config/usage-error.ts";
import { type Run, readArguments } from "./command.ts";
import { ProxyClient } from "./proxy-client.ts";
import { PROXY_FIELDS, PROXY_FLAGS } from "./proxy-flags.ts";

const FORMATS = LOG_FORMATS.filter((format) => format !== "auto");

const Settings = Type.Object({
  ...PROXY_FIELDS,
  format: Type.Union([oneOf(FORMATS), Type.Null()], { default: null }),
});

const FLAGS = [
  ...flagGroup("Log", [
    {
      key: "format",
      names: ["format", "log-format"],
      argument: "format",
      kind: kinds.choice(FORMATS),
      value: Settings.properties.format,
      help: `How its lines look: ${FORMATS.join(", ")}.`,
    },
  ]),
  ...PROXY_FLAGS,
];

const Log = Type.Object({ level: Type.String(), format: Type.String() });

export const run: Run = async (argv, surroundings) => {
  const command = new Command("lmproxy log-level")
    .description("Show or change how much a running proxy logs, until it ends.")
    .argument("[level]", LEVEL_KIND.expects);
  const line = await readArguments(command, FLAGS, Settings, argv, surroundings, "LMPROXY_LOG_");
  if (line === null) return 0;
  const { proxyUrl, adminKey, format } = line.values;
  const [given] = line.operands;
  const level = given === undefined ? undefined : LEVEL_KIND.parse(given);
  if (given !== undefined && level === undefined) {
    throw new UsageError(`the level must be one of ${LOG_LEVELS.join(", ")}`);
  }
  const wanted = {
    ...(level === undefined ? {} : { level }),
    ...(format === null ? {} : { format }),
  };
  const client = new ProxyClient(proxyUrl, adminKey);
  const asksOnly = Object.keys(wanted).length === 0;
  const answer = await (asksOnly ? client.get("/debug/log") : client.post("/debug/log", wanted));
  const log = client.as(Log, answer);
  await surroundings.print(`the log is at level ${log.level}, its lines are ${log.format}\n`);
  return 0;
};
