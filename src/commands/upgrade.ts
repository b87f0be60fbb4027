/** `lmproxy upgrade`: has a running proxy replace its workers by the executable that is there now. */
import { Type } from "@sinclair/typebox";
import { Command } from "commander";
import { flagGroup } from "../config/flag.ts";
import { type Run, readArguments } from "./command.ts";
import { EVERY_WORKER_TIMEOUT_MS, ProxyClient } from "./proxy-client.ts";
import { PROXY_FIELDS, PROXY_FLAGS } from "./proxy-flags.ts";

const FIELDS = { ...PROXY_FIELDS, supervisor: Type.Boolean({ default: false }) };
const FLAGS = [
  ...PROXY_FLAGS,
  ...flagGroup("Upgrade", [
    {
      key: "supervisor",
      names: ["supervisor"],
      value: FIELDS.supervisor,
      help: "Replace the process that keeps them running, too; counts and sessions begin anew.",
    },
  ]),
];

export const run: Run = async (argv, surroundings) => {
  const command = new Command("lmproxy upgrade").description(
    "Replace the workers of a running proxy, one after the other, by the executable that lies in its " +
      "place now. No connection is refused and no answer is cut.",
  );
  const line = await readArguments(
    command,
    FLAGS,
    Type.Object(FIELDS),
    argv,
    surroundings,
    "LMPROXY_UPGRADE_",
  );
  if (line === null) return 0;
  const { proxyUrl, adminKey, supervisor } = line.values;
  const path = supervisor ? "/upgrade?supervisor=true" : "/upgrade";
  const client = new ProxyClient(proxyUrl, adminKey, EVERY_WORKER_TIMEOUT_MS);
  await surroundings.print(await client.change("POST", path, {}));
  return 0;
};
