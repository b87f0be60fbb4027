/** `lmproxy requests`: what a running proxy does just now, oldest first. */
import { Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { Command } from "commander";
import { flagGroup } from "../config/flag.ts";
import { type Run, readArguments } from "./command.ts";
import { CommandError } from "./command-error.ts";
import { ProxyClient } from "./proxy-client.ts";
import { PROXY_FIELDS, PROXY_FLAGS } from "./proxy-flags.ts";
import { shortTime, tableLines } from "./table.ts";

const Settings = Type.Object({ ...PROXY_FIELDS, json: Type.Boolean({ default: false }) });

const FLAGS = [
  ...flagGroup("Output", [
    {
      key: "json",
      names: ["json"],
      value: Settings.properties.json,
      help: "Print JSON, as GET /debug/requests answers.",
    },
  ]),
  ...PROXY_FLAGS,
];

const TextOrNull = Type.Union([Type.String(), Type.Null()]);
const OpenRequests = Type.Array(
  Type.Object({
    id: Type.String(),
    phase: Type.String(),
    age_s: Type.Number(),
    model: TextOrNull,
    client: TextOrNull,
    node: TextOrNull,
    bytes_out: Type.Number(),
    last_byte_age_s: Type.Union([Type.Number(), Type.Null()]),
  }),
);

export const run: Run = async (argv, surroundings) => {
  const command = new Command("lmproxy requests").description(
    "Show the requests that run or wait, oldest first.",
  );
  const line = readArguments(command, FLAGS, Settings, argv, surroundings, "LMPROXY_REQUESTS_");
  if (line.help !== null) {
    await surroundings.print(line.help);
    return 0;
  }
  const { proxyUrl, adminKey, json } = line.values;
  const answer = await new ProxyClient(proxyUrl, adminKey).get("/debug/requests");
  if (!Value.Check(OpenRequests, answer)) {
    throw new CommandError(`${proxyUrl} answers, but not as this lmproxy does; is it older?`);
  }
  await surroundings.print(json ? `${JSON.stringify(answer, null, 2)}\n` : drawRequests(answer));
  return 0;
};

type Open = (typeof OpenRequests)["static"][number];

const COLUMNS: readonly (readonly [title: string, of: (request: Open) => string])[] = [
  ["id", ({ id }) => id],
  ["age", ({ age_s }) => shortTime(age_s)],
  ["phase", ({ phase }) => phase],
  [
    "last byte",
    ({ last_byte_age_s }) => (last_byte_age_s === null ? "-" : shortTime(last_byte_age_s)),
  ],
  ["bytes", ({ bytes_out }) => String(bytes_out)],
  ["client", ({ client }) => client ?? "-"],
  ["model", ({ model }) => model ?? "-"],
  ["node", ({ node }) => node ?? "-"],
];

function drawRequests(requests: readonly Open[]): string {
  if (requests.length === 0) return "nothing runs and nothing waits\n";
  const columns = COLUMNS.map(([title, of]) => [title, ...requests.map(of)]);
  return tableLines(columns, ["bytes", "model", "client"]).join("");
}
