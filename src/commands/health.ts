/** `lmproxy health`: whether a proxy is up, for a container without curl. */
import { Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { Command } from "commander";
import { flagGroup } from "../config/flag.ts";
import { boundedText, TooLongError } from "../core/bounded-text.ts";
import { type Run, readArguments } from "./command.ts";
import { messageOf, parseJson, UNPACKED, unreachable } from "./proxy-client.ts";
import { PROXY_FIELDS, PROXY_FLAGS } from "./proxy-flags.ts";

/** A health check has a time limit of its own around it. */
const TIMEOUT_MS = 5_000;
/** A proxy's own answer is a line. */
const MOST_BYTES = 64 * 1024;

/** The proxy is up, and no request has somewhere to go. */
const NOT_READY = 3;

const Settings = Type.Object({
  proxyUrl: PROXY_FIELDS.proxyUrl,
  ready: Type.Boolean({ default: false }),
});

const FLAGS = [
  ...flagGroup("Check", [
    {
      key: "ready",
      names: ["ready"],
      value: Settings.properties.ready,
      help: "Ask too whether a node is healthy: exit status 3 when none is.",
    },
  ]),
  ...PROXY_FLAGS.filter(({ key }) => key === "proxyUrl"),
];

const Said = Type.Object({ status: Type.String() });

export const run: Run = async (argv, surroundings) => {
  const command = new Command("lmproxy health").description(
    "Ask a running proxy whether it is up: exit status 0 when it is, 1 when it does not answer.",
  );
  const line = await readArguments(command, FLAGS, Settings, argv, surroundings, "LMPROXY_HEALTH_");
  if (line === null) return 0;
  const { proxyUrl, ready } = line.values;
  const root = proxyUrl.replace(/\/+$/, "");
  const url = `${root}${ready ? "/ready" : "/health"}`;
  try {
    const answer = await fetch(url, {
      ...UNPACKED.init,
      headers: UNPACKED.headers,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const said = parseJson(await boundedText(answer.body, MOST_BYTES));
    if (answer.ok) {
      // Somebody else at this port is no proxy that is up.
      if (!Value.Check(Said, said)) {
        surroundings.warn(strange(url));
        return 1;
      }
      await surroundings.print(ready ? "ready\n" : "up\n");
      return 0;
    }
    surroundings.warn(`lmproxy: ${url} answered ${answer.status}: ${messageOf(said)}`);
    return ready && answer.status === 503 ? NOT_READY : 1;
  } catch (error) {
    if (error instanceof TooLongError) {
      surroundings.warn(strange(url));
      return 1;
    }
    surroundings.warn(`lmproxy: ${await unreachable(root, error)}`);
    return 1;
  }
};

function strange(url: string): string {
  return `lmproxy: ${url} answers, but not as lmproxy does; check --proxy-url`;
}
