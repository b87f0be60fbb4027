/** `lmproxy upgrade`: has a running proxy replace its workers by the executable that is there now. */
import { Type } from "@sinclair/typebox";
import { Command } from "commander";
import { type Run, readArguments } from "./command.ts";
import { messageOf, ProxyClient } from "./proxy-client.ts";
import { PROXY_FIELDS, PROXY_FLAGS } from "./proxy-flags.ts";

/** Every worker takes a second, or more on a machine that has a lot to do. */
const TIMEOUT_MS = 300_000;

export const run: Run = async (argv, surroundings) => {
  const command = new Command("lmproxy upgrade").description(
    "Replace the workers of a running proxy, one after the other, by the executable that lies in its " +
      "place now. No connection is refused and no answer is cut.",
  );
  const fields = Type.Object(PROXY_FIELDS);
  const line = readArguments(command, PROXY_FLAGS, fields, argv, surroundings, "LMPROXY_UPGRADE_");
  if (line.help !== null) {
    await surroundings.print(line.help);
    return 0;
  }
  const { proxyUrl, adminKey } = line.values;
  const answer = await new ProxyClient(proxyUrl, adminKey, TIMEOUT_MS).post("/upgrade", {});
  await surroundings.print(`${messageOf(answer)}\n`);
  return 0;
};
