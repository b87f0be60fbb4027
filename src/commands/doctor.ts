/** `lmproxy doctor`: what is wrong with a running proxy and its nodes, and what to do about it. */
import { Type } from "@sinclair/typebox";
import { Command } from "commander";
import { flagGroup } from "../config/flag.ts";
import { type Run, readArguments } from "./command.ts";
import { findings } from "./doctor/checks.ts";
import { gather } from "./doctor/gather.ts";
import type { Finding } from "./doctor/snapshot.ts";
import { ProxyClient } from "./proxy-client.ts";
import { JSON_FIELD, jsonFlag, PROXY_FIELDS, PROXY_FLAGS } from "./proxy-flags.ts";
import { plain } from "./table.ts";

/** It answers, and something is wrong. */
const DEGRADED = 3;

const Settings = Type.Object({ ...PROXY_FIELDS, json: JSON_FIELD });

const FLAGS = [
  ...flagGroup("Output", [
    jsonFlag('Print JSON: {"findings": [{"check", "name", "about", "what", "advice"}]}.'),
  ]),
  ...PROXY_FLAGS,
];

export const run: Run = async (argv, surroundings) => {
  const command = new Command("lmproxy doctor").description(
    "Look at a running proxy and its nodes, change nothing, and say what is wrong and what to do: exit " +
      "status 0 when nothing is, 3 when something is, 1 when the proxy does not answer.",
  );
  const line = await readArguments(command, FLAGS, Settings, argv, surroundings, "LMPROXY_DOCTOR_");
  if (line === null) return 0;
  const { proxyUrl, adminKey, json } = line.values;
  const found = findings(await gather(new ProxyClient(proxyUrl, adminKey)));
  await surroundings.print(
    json ? `${JSON.stringify({ findings: found }, null, 2)}\n` : draw(found),
  );
  return found.length === 0 ? 0 : DEGRADED;
};

function draw(found: readonly Finding[]): string {
  if (found.length === 0) return "nothing is wrong, as far as can be seen from here\n";
  return found
    .map(
      ({ check, name, about, what, advice }) =>
        `${check}: ${plain(name === null ? about : `${name} (${about})`)}\n  ${plain(what)}\n  ${plain(advice)}\n`,
    )
    .join("");
}
