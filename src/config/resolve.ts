/** Flag, then variable, then default: the value of each flag and where it came from. */
import { Value } from "@sinclair/typebox/value";
import { errorCode } from "../core/thrown.ts";
import { MOST_FILE_BYTES, MOST_FILE_MIB } from "./file-limit.ts";
import { DEFAULT_SOURCE, type Flag, flagName, type Source, variableName } from "./flag.ts";
import { toggle } from "./kinds.ts";
import { UsageError } from "./usage-error.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads a whole text file; throws when it cannot, with the code EFBIG when it holds more than `mostBytes`. Handed in,
 * so that parsing stays pure.
 */
export type ReadFile = (path: string, mostBytes?: number) => string;

/** The shell closes what it has opened for a command once that has begun, and a pipe can be read but once. */
const DESCRIPTOR = /^\/(?:dev|proc\/self)\/fd\//;

export interface Resolved {
  readonly value: unknown;
  readonly source: Source;
}

/**
 * Resolves every flag. An empty variable counts as not set.
 *
 * @param given by the flag's key: the texts typed after it
 * @param prefix what our own variables begin with
 * @throws UsageError when a text is not understood or out of range, or an `@path` cannot be read.
 */
export function resolveFlags(
  flags: readonly Flag[],
  given: ReadonlyMap<string, readonly string[]>,
  env: Environment,
  prefix: string,
  readFile: ReadFile,
): ReadonlyMap<string, Resolved> {
  return new Map(
    flags.map((flag) => {
      const texts = given.get(flag.key);
      return [
        flag.key,
        texts === undefined
          ? fromEnvironment(flag, env, prefix, readFile)
          : fromFlag(flag, texts, readFile),
      ];
    }),
  );
}

function fromFlag(flag: Flag, texts: readonly string[], readFile: ReadFile): Resolved {
  const name = flagName(flag);
  const value = flag.argument === null ? flag.sets : readTexts(flag, name, texts, readFile);
  return { value, source: { kind: "flag", name } };
}

/**
 * What Kubernetes puts into LMPROXY_PORT when a Service is called lmproxy. Source:
 * https://kubernetes.io/docs/tutorials/services/connect-applications-service/#environment-variables
 */
export const SERVICE_LINK = /^(?:tcp|udp|sctp):\/\//;

function fromEnvironment(
  flag: Flag,
  env: Environment,
  prefix: string,
  readFile: ReadFile,
): Resolved {
  const name = [variableName(flag, prefix), ...flag.variables].find(
    (variable) => env[variable] && !SERVICE_LINK.test(env[variable]),
  );
  const text = name === undefined ? undefined : env[name];
  if (name === undefined || text === undefined) {
    const fallback: unknown = flag.value.default ?? null;
    return { value: fallback, source: DEFAULT_SOURCE };
  }
  const source = { kind: "variable", name } as const;
  if (flag.argument === null) {
    const isOn = toggle.parse(text);
    if (isOn === undefined) throw new UsageError(refusal(flag, name, text));
    return { value: isOn === flag.sets, source };
  }
  const texts = flag.isList ? splitList(text) : [text];
  if (texts.length === 0) throw new UsageError(`${name} holds nothing but commas`);
  return { value: readTexts(flag, name, texts, readFile), source };
}

function splitList(text: string): readonly string[] {
  return text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

function readTexts(
  flag: Flag,
  name: string,
  texts: readonly string[],
  readFile: ReadFile,
): unknown {
  const expanded = flag.isSecret
    ? texts.flatMap((text) => keysOf(name, text, readFile))
    : texts.map((text) => ({ text, from: name }));
  if (flag.isSecret && !flag.isList && expanded.length > 1) {
    throw new UsageError(`${name} takes one key, and the file holds ${expanded.length}`);
  }
  const values = expanded.map(({ text, from }) => {
    const value = flag.kind.parse(text);
    const inRange = Value.Check(flag.value, flag.isList ? [value] : value);
    if (value === undefined || !inRange) throw new UsageError(refusal(flag, from, text));
    return value;
  });
  return flag.isList ? [...new Set(values)] : values.at(-1);
}

interface Given {
  readonly text: string;
  /** Where it stands, for what is said of it. */
  readonly from: string;
}

/** The keys that one text stands for: itself, or the lines of the file behind `@`. */
function keysOf(name: string, text: string, readFile: ReadFile): readonly Given[] {
  if (!text.startsWith("@")) return [{ text, from: name }];
  const path = text.slice(1);
  const keys = readFileOf(name, path, readFile)
    .replace(/^\uFEFF/, "")
    .split(/\r?\n/)
    .map((line, at) => ({ text: line.trim(), from: `${name}: line ${at + 1} of ${quote(path)}` }))
    .filter((line) => line.text !== "");
  if (keys.length === 0) throw new UsageError(`${name}: the file ${quote(path)} holds no key`);
  return keys;
}

/** @throws UsageError that names the file and the system's reason when it cannot be read. */
export function readFileOf(name: string, path: string, readFile: ReadFile): string {
  try {
    return readFile(path, MOST_FILE_BYTES);
  } catch (error) {
    const code = errorCode(error) ?? "unreadable";
    if (code === "EFBIG") {
      throw new UsageError(`${name}: ${quote(path)} holds more than ${MOST_FILE_MIB} MiB`);
    }
    const isNameless = DESCRIPTOR.test(path);
    const advice = isNameless ? "; a descriptor, as of <(command), is not there: name a file" : "";
    throw new UsageError(`${name}: cannot read the file ${quote(path)} (${code})${advice}`);
  }
}

function refusal(flag: Flag, name: string, text: string): string {
  const expects = flag.argument === null ? toggle.expects : flag.kind.expects;
  const shows = !flag.isSecret && !text.includes("@");
  // Keys stand in the queries of URLs, too, and it may be any flag that one was given to.
  const shown = text.replace(/([?#]).+/s, "$1…");
  return `${name} must be ${expects}${shows ? `, not ${quote(shown)}` : ""}`;
}

/** On one line, at most 80 characters, control characters escaped. */
export function quote(text: string): string {
  const shown = text.length > 80 ? `${text.slice(0, 79)}…` : text;
  return JSON.stringify(shown).replace(/[\u007f-\u009f\u2028\u2029]/g, "?");
}
