/**
 * The proxy's configuration: flag, variable, default → one frozen `Config`, with where each value
 * came from. Pure: command line, environment and files are handed in.
 */
import { Value } from "@sinclair/typebox/value";
import { Command } from "commander";
import { splitAlias } from "../core/model-alias.ts";
import type { StrategyName } from "../core/strategies/index.ts";
import { readCommandLine } from "./command-line.ts";
import { DEFAULT_SOURCE, type Source, variableName } from "./flag.ts";
import { byteSize } from "./kinds.ts";
import type { Note } from "./note.ts";
import { readTraces, tracesVariable } from "./otel.ts";
import {
  type Environment,
  quote,
  type ReadFile,
  type Resolved,
  readFileOf,
  resolveFlags,
} from "./resolve.ts";
import { type Config, ConfigSchema } from "./schema.ts";
import { SERVE_FLAGS } from "./serve-flags.ts";
import { strayVariables } from "./stray-variables.ts";
import { type Translated, translate } from "./translate.ts";
import { UsageError } from "./usage-error.ts";

export type { Config } from "./schema.ts";

/** What our own variables begin with. */
export const VARIABLE_PREFIX = "LMPROXY_";

const VARIABLES = SERVE_FLAGS.map((flag) => variableName(flag, VARIABLE_PREFIX));

export interface ServeConfig {
  readonly help: null;
  readonly config: Config;
  /** Where each field of `config` came from. */
  readonly sources: ReadonlyMap<string, Source>;
  /** What is worth saying at the start. */
  readonly notes: readonly Note[];
  /** `--print-config` was given: show the configuration instead of serving. */
  readonly printOnly: boolean;
}

/**
 * Reads the command line of `lmproxy serve`.
 *
 * @param argv what follows `serve`
 * @returns the configuration, or the text that `--help` asked for
 * @throws UsageError with one line that says what is wrong and what would be right
 */
export function parseServeConfig(
  argv: readonly string[],
  env: Environment,
  readFile: ReadFile,
): ServeConfig | { readonly help: string } {
  const command = new Command("lmproxy serve")
    .description("Spread OpenAI-compatible requests over LLM engines.")
    .addHelpText(
      "after",
      "\nEvery flag can be set by a variable too: LMPROXY_ and its first name, such as" +
        "\nLMPROXY_PORT; lists are separated by commas there. The order is flag, variable," +
        "\ndefault. Durations are in seconds, fractions allowed.",
    );
  const translated = translate(argv, SERVE_FLAGS, {
    as: env[`${VARIABLE_PREFIX}AS`],
    servingStrategy: env[`${VARIABLE_PREFIX}SERVING_STRATEGY`],
  });
  try {
    return parseTranslated(command, translated, env, readFile);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(inTypedWords(error.message, translated));
  }
}

/** Of a flag that it names says which of another router's was typed. */
function inTypedWords(message: string, { typedAs }: Translated): string {
  const named = new Set(message.match(/(?<![\w-])--[a-z][\w-]*/g));
  const notes = [...typedAs].filter(([ours, typed]) => named.has(ours) && !named.has(typed));
  return message + notes.map(([ours, typed]) => ` (${typed} is taken as ${ours})`).join("");
}

function parseTranslated(
  command: Command,
  translated: Translated,
  env: Environment,
  readFile: ReadFile,
): ServeConfig | { readonly help: string } {
  const line = readCommandLine(command, SERVE_FLAGS, translated.argv);
  if (line.help !== null) return line;
  const resolved = resolveFlags(SERVE_FLAGS, line.given, env, VARIABLE_PREFIX, readFile);
  refuseOtherMode(resolved);
  refuseTooLittleMemory(resolved);
  refuseTwoKeys(resolved);
  refuseAliasOfAlias(resolved);
  const { traces, notes: traceNotes } = readTraces(env);
  const fields = new Map(resolved)
    .set("tls", resolveTls(resolved, env, readFile))
    .set("statePath", resolveStatePath(resolved, env))
    .set("forwardCredentials", resolveForwarding(resolved))
    .set("prefillStrategy", resolvePrefillStrategy(resolved))
    .set("traces", { value: traces, source: { kind: "variable", name: tracesVariable(env) } });
  refuseTakeoverOfNothing(fields);
  const keys = Object.keys(ConfigSchema.properties);
  const config: unknown = Object.fromEntries(keys.map((key) => [key, fields.get(key)?.value]));
  Value.Assert(ConfigSchema, config);
  return {
    help: null,
    config: deepFreeze(config),
    sources: new Map(keys.map((key) => [key, fields.get(key)?.source ?? DEFAULT_SOURCE])),
    notes: [
      ...translated.notes,
      ...(translated.isForeign ? otherPort(resolved) : []),
      ...unusedVariables(env),
      ...traceNotes,
      ...strayVariables(env, VARIABLE_PREFIX, VARIABLES),
    ],
    printOnly: fields.get("printConfig")?.value === true,
  };
}

type Fields = ReadonlyMap<string, Resolved>;

/** What to do where a flag has no place, for flags of which one might think that they have. */
const INSTEAD: ReadonlyMap<string, string> = new Map([
  ["nodes", "; name engines with --prefill and --decode"],
  ["workers", "; with DistServe leave it out, or run one lmproxy for each group of engines"],
]);

/** A flag of the other serving strategy is a mistake that would otherwise show much later. */
function refuseOtherMode(fields: Fields): void {
  const mode = fields.get("servingStrategy")?.value;
  for (const flag of SERVE_FLAGS) {
    const source = fields.get(flag.key)?.source;
    if (flag.mode === null || flag.mode === mode) continue;
    if (source === undefined || source.kind === "default") continue;
    const instead = INSTEAD.get(flag.key) ?? "";
    throw new UsageError(`${source.name} needs --serving-strategy ${flag.mode}${instead}`);
  }
}

/** A client's body, and what it becomes for each of two engines. */
const DISTSERVE_BODIES = 3;

/** A body that is not too large would be told to try again, for ever. */
function refuseTooLittleMemory(fields: Fields): void {
  const memory = fields.get("maxBodyMemoryBytes");
  const body = fields.get("maxBodyBytes")?.value;
  if (typeof memory?.value !== "number" || typeof body !== "number") return;
  const isDistServe = fields.get("servingStrategy")?.value === "DistServe";
  if (memory.value >= body * (isDistServe ? DISTSERVE_BODIES : 1)) return;
  const times = isDistServe
    ? ` ${DISTSERVE_BODIES} times, since DistServe makes one for each engine`
    : "";
  throw new UsageError(
    `--max-body-memory must hold a body of --max-body (${byteSize.show(body)})${times}; raise it, or lower --max-body`,
  );
}

/** A request goes to an engine with one key. */
function refuseTwoKeys(fields: Fields): void {
  if (fields.get("forwardCredentials")?.value !== true) return;
  if (fields.get("upstreamApiKey")?.value === null) return;
  throw new UsageError(
    "--forward-credentials sends engines the clients' keys, --upstream-api-key its own; choose one",
  );
}

/** An alias leads to a model: one that leads to an alias would lead nowhere, or in a circle. */
function refuseAliasOfAlias(fields: Fields): void {
  const { value, source = DEFAULT_SOURCE } = fields.get("modelAliases") ?? {};
  const aliases = Array.isArray(value) ? value.map((given) => splitAlias(String(given))) : [];
  const names = new Map(aliases);
  const flag = source.kind === "default" ? "--model-alias" : source.name;
  for (const [alias, name] of aliases) {
    const other = names.get(alias);
    if (other !== name) {
      throw new UsageError(
        `${flag} leads ${quote(alias)} to ${quote(name)} and to ${quote(other ?? "")}`,
      );
    }
    if (!names.has(name)) continue;
    throw new UsageError(
      `${flag} leads ${quote(alias)} to ${quote(name)}, which is an alias; name the model that engines serve`,
    );
  }
}

/** The one that runs is found by its state file, and says there what it knows. */
function refuseTakeoverOfNothing(fields: Fields): void {
  if (fields.get("takeover")?.value !== true) return;
  if (textOf(fields, "statePath") !== null) return;
  throw new UsageError(
    "--takeover finds the running lmproxy by its state file; give both the same --state",
  );
}

/** LMDeploy's proxy hands the clients' keys on. */
function resolveForwarding(fields: Fields): Resolved {
  const as = fields.get("as");
  const given = fields.get("forwardCredentials") ?? { value: false, source: DEFAULT_SOURCE };
  if (given.source.kind !== "default" || as?.value !== "lmdeploy") return given;
  return fields.get("upstreamApiKey")?.value === null ? { value: true, source: as.source } : given;
}

/** Prefill nodes do nothing but what a prefix cache saves; a strategy that was named holds for both roles. */
function resolvePrefillStrategy(fields: Fields): Resolved {
  const given = fields.get("prefillStrategy") ?? { value: null, source: DEFAULT_SOURCE };
  const isNamed = given.value !== null || fields.get("strategy")?.source.kind !== "default";
  if (isNamed || fields.get("servingStrategy")?.value !== "DistServe") return given;
  return { value: "prefix_aware" satisfies StrategyName, source: DEFAULT_SOURCE };
}

/** Scripts that name no port mean another one. */
function otherPort(fields: Fields): readonly Note[] {
  const port = fields.get("port");
  if (port?.source.kind !== "default") return [];
  const text = `lmproxy listens on port ${port.value} where other routers do on 30000; see --port`;
  return [{ level: "warning", text }];
}

/** 90 s in LMDeploy: how long a node counted after its last sign of life, and no time between probes. */
const HEART_BEAT = "LMDEPLOY_CONTROLLER_HEART_BEAT_EXPIRATION";

function unusedVariables(env: Environment): readonly Note[] {
  if (!env[HEART_BEAT]) return [];
  const text = `${HEART_BEAT} has no effect here: nodes are probed every --health-interval`;
  return [{ level: "info", text }];
}

function textOf(fields: Fields, key: string): string | null {
  const value = fields.get(key)?.value;
  return typeof value === "string" ? value : null;
}

/** `--tls-key` and `--tls-cert`, else with `--ssl` the two files that LMDeploy's users name. */
function resolveTls(fields: Fields, env: Environment, readFile: ReadFile): Resolved {
  const keyPath = textOf(fields, "tlsKey");
  const certPath = textOf(fields, "tlsCert");
  if (keyPath === null && certPath === null) return resolveSsl(fields, env, readFile);
  if (keyPath === null) throw new UsageError("--tls-cert needs --tls-key, the private key's file");
  if (certPath === null) throw new UsageError("--tls-key needs --tls-cert, the certificate's file");
  readFileOf("--tls-key", keyPath, readFile);
  readFileOf("--tls-cert", certPath, readFile);
  const source = fields.get("tlsKey")?.source ?? DEFAULT_SOURCE;
  return { value: { keyPath, certPath }, source };
}

function resolveSsl(fields: Fields, env: Environment, readFile: ReadFile): Resolved {
  const ssl = fields.get("ssl");
  if (ssl?.value !== true) return { value: null, source: ssl?.source ?? DEFAULT_SOURCE };
  const { SSL_KEYFILE: keyPath, SSL_CERTFILE: certPath } = env;
  if (!keyPath || !certPath) {
    throw new UsageError(
      "--ssl needs SSL_KEYFILE and SSL_CERTFILE; set both, or give --tls-key and --tls-cert",
    );
  }
  readFileOf("SSL_KEYFILE", keyPath, readFile);
  readFileOf("SSL_CERTFILE", certPath, readFile);
  return { value: { keyPath, certPath }, source: ssl.source };
}

/**
 * Without `--state`, a file by port under the user's state directory (XDG Base Directory: a relative
 * `$XDG_STATE_HOME` is ignored); none for a picked port, since the next run picks another.
 */
function resolveStatePath(fields: Fields, env: Environment): Resolved {
  const disable = fields.get("disableCacheStatus");
  if (disable?.value === true) return { value: null, source: disable.source };
  const state = fields.get("statePath");
  if (state !== undefined && state.source.kind !== "default") return state;
  const port = fields.get("port")?.value;
  const { XDG_STATE_HOME: stateHome, HOME: home } = env;
  const folder = stateHome?.startsWith("/") ? stateHome : home ? `${home}/.local/state` : null;
  const path = port === 0 || folder === null ? null : `${folder}/lmproxy/nodes-${port}.json`;
  return { value: path, source: DEFAULT_SOURCE };
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null) {
    for (const part of Object.values(value)) deepFreeze(part);
  }
  return Object.freeze(value);
}
