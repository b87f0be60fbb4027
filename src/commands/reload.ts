/** `lmproxy reload`: a running proxy reads its files again. */
import { Type } from "@sinclair/typebox";
import { Command } from "commander";
import { type Run, readArguments } from "./command.ts";
import { EVERY_WORKER_TIMEOUT_MS, ProxyClient } from "./proxy-client.ts";
import { PROXY_FIELDS, PROXY_FLAGS } from "./proxy-flags.ts";

const Settings = Type.Object(PROXY_FIELDS);

const Reloaded = Type.Object({
  changed: Type.Array(Type.String()),
  needs_new_process: Type.Array(Type.String()),
});

export const run: Run = async (argv, surroundings) => {
  const command = new Command("lmproxy reload").description(
    "Have a running proxy read the files of its flags again, as SIGHUP does: keys (@path), and the " +
      "certificate, for new connections. A file that cannot be used changes nothing.",
  );
  const line = await readArguments(
    command,
    PROXY_FLAGS,
    Settings,
    argv,
    surroundings,
    "LMPROXY_RELOAD_",
  );
  if (line === null) return 0;
  const { proxyUrl, adminKey } = line.values;
  // Workers take a new certificate one after the other.
  const client = new ProxyClient(proxyUrl, adminKey, EVERY_WORKER_TIMEOUT_MS);
  const answer = client.as(Reloaded, await client.post("/reload", {}));
  const { changed, needs_new_process: kept } = answer;
  const told = changed.length === 0 ? "nothing has changed" : `changed: ${changed.join(", ")}`;
  await surroundings.print(`reloaded; ${told}\n`);
  if (kept.length > 0) {
    const which = kept.join(", ");
    await surroundings.print(`a new process is needed for ${which}: lmproxy serve --takeover\n`);
  }
  return 0;
};
