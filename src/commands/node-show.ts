/** `lmproxy nodes show`: all of one node. */
import { type Static, Type } from "@sinclair/typebox";
import { flagGroup } from "../config/flag.ts";
import { readRole } from "../core/engine/roles.ts";
import type { ProxyClient } from "./proxy-client.ts";
import { jsonFlag } from "./proxy-flags.ts";
import { cut, plain, shortTime, tableLines, WIDTH } from "./table.ts";

const Shown = Type.Object({
  url: Type.String(),
  failures: Type.Array(
    Type.Object({
      at: Type.String(),
      id: Type.String(),
      outcome: Type.String(),
      status: Type.Union([Type.Number(), Type.Null()]),
      detail: Type.Union([Type.String(), Type.Null()]),
    }),
  ),
});
type Shown = Static<typeof Shown>;

export const FOR_SHOW = flagGroup("Output", [jsonFlag("Print JSON, as GET /nodes/show answers.")]);

export async function showNode(
  client: ProxyClient,
  node: string,
  { json }: { readonly json: boolean },
): Promise<string> {
  const path = `/nodes/show?node=${encodeURIComponent(node)}`;
  const answer = client.as(Shown, await client.get(path));
  return json ? `${JSON.stringify(answer, null, 2)}\n` : draw(answer);
}

function draw({ url, failures, ...rest }: Shown): string {
  const fields = Object.entries(rest).map(([name, value]) => [name, shown(name, value)] as const);
  const width = Math.max(...fields.map(([name]) => name.length));
  const lines = fields.map(([name, text]) => `  ${name.padEnd(width)}  ${plain(text)}\n`);
  return `${plain(url)}\n${lines.join("")}\n${drawFailures(failures)}`;
}

/** By the API's names: what is read here is looked for in the documentation, or in a script. */
function shown(name: string, value: unknown): string {
  if (value === null || (Array.isArray(value) && value.length === 0)) return "-";
  if (typeof value === "number") {
    // LMDeploy's number says nothing to whoever reads.
    if (name === "role") return readRole(value) ?? String(value);
    if (name.endsWith("_s")) return shortTime(value);
    return String(Number(value.toPrecision(4)));
  }
  if (Array.isArray(value)) return value.map((one) => shown("", one)).join(", ");
  return typeof value === "string" ? value : JSON.stringify(value);
}

function drawFailures(failures: Shown["failures"]): string {
  if (failures.length === 0) return "No attempt has failed there.\n";
  const columns = [
    ["at", ...failures.map(({ at }) => at)],
    ["outcome", ...failures.map(({ outcome, status }) => [outcome, status].join(" ").trim())],
    ["request", ...failures.map(({ id }) => id)],
  ];
  const [titles = "", ...lines] = tableLines(columns, []);
  const drawn = failures.map(({ detail }, at) => {
    const why = detail === null ? "" : `  ${cut(plain(detail), WIDTH - 2)}\n`;
    return `${lines[at]}${why}`;
  });
  return `Its last failures; lmproxy explain REQUEST tells more:\n${titles}${drawn.join("")}`;
}
