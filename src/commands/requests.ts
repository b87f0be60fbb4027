/** `lmproxy requests`: what a running proxy does just now, oldest first. */
import { Type } from "@sinclair/typebox";
import { Command } from "commander";
import { flagGroup } from "../config/flag.ts";
import { type Run, readArguments, type Surroundings } from "./command.ts";
import { ProxyClient } from "./proxy-client.ts";
import { JSON_FIELD, jsonFlag, PROXY_FIELDS, PROXY_FLAGS } from "./proxy-flags.ts";
import { plain, shortTime, tableLines } from "./table.ts";

const Settings = Type.Object({ ...PROXY_FIELDS, json: JSON_FIELD });

const FLAGS = [
  ...flagGroup("Output", [jsonFlag("Print JSON, as GET /debug/requests answers.")]),
  ...PROXY_FLAGS,
];

const Cancelled = Type.Object({ cancelled: Type.Integer() });

const TextOrNull = Type.Union([Type.String(), Type.Null()]);
const OpenRequests = Type.Array(
  Type.Object({
    id: Type.String(),
    phase: Type.String(),
    age_s: Type.Number(),
    model: TextOrNull,
    client: TextOrNull,
    node: TextOrNull,
    node_name: Type.Optional(TextOrNull),
    bytes_out: Type.Number(),
    last_byte_age_s: Type.Union([Type.Number(), Type.Null()]),
  }),
);

export const run: Run = async (argv, surroundings) => {
  if (argv[0] === "cancel") return await cancel(argv.slice(1), surroundings);
  const command = new Command("lmproxy requests").description(
    "Show the requests that run or wait, oldest first. `lmproxy requests cancel ID` ends one.",
  );
  const line = await readArguments(
    command,
    FLAGS,
    Settings,
    argv,
    surroundings,
    "LMPROXY_REQUESTS_",
  );
  if (line === null) return 0;
  const { proxyUrl, adminKey, json } = line.values;
  const client = new ProxyClient(proxyUrl, adminKey);
  const answer = client.as(OpenRequests, await client.get("/debug/requests"));
  await surroundings.print(json ? `${JSON.stringify(answer, null, 2)}\n` : drawRequests(answer));
  return 0;
};

async function cancel(argv: readonly string[], surroundings: Surroundings): Promise<number> {
  const command = new Command("lmproxy requests cancel")
    .description("End all requests by an id; their clients get an error.")
    .argument("<id>", "as lmproxy requests shows it");
  const line = await readArguments(
    command,
    PROXY_FLAGS,
    Type.Object(PROXY_FIELDS),
    argv,
    surroundings,
    "LMPROXY_REQUESTS_",
  );
  if (line === null) return 0;
  const { proxyUrl, adminKey } = line.values;
  const [id = ""] = line.operands;
  const path = `/debug/requests/${encodeURIComponent(id)}`;
  const client = new ProxyClient(proxyUrl, adminKey);
  const answer = client.as(Cancelled, await client.delete(path));
  await surroundings.print(`cancelled ${answer.cancelled} by the id ${plain(id)}\n`);
  return 0;
}

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
  ["node", ({ node, node_name }) => node_name ?? node ?? "-"],
];

function drawRequests(requests: readonly Open[]): string {
  if (requests.length === 0) return "nothing runs and nothing waits\n";
  const columns = COLUMNS.map(([title, of]) => [title, ...requests.map(of)]);
  return tableLines(columns, ["bytes", "model", "client"]).join("");
}
