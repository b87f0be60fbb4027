/** How this very program is started again, compiled or by `bun src/main.ts`. */
import type { Environment, ReadFile } from "../config/resolve.ts";
import { handOn } from "./handed-on.ts";

export interface Program {
  readonly file: string;
  /** What goes before the command's own arguments. */
  readonly args: readonly string[];
}

export function thisProgram(): Program {
  // In a compiled executable the entry point lies in a file system of its own.
  const isCompiled = Bun.main.startsWith("/$bunfs/");
  return {
    file: process.execPath,
    args: isCompiled ? [] : [...process.execArgv, Bun.main],
  };
}

/**
 * Bun sends at most 256 fetches at a time, unless this variable said otherwise when the process
 * started. 65535 is the largest value that works; 65536 means 256 again.
 */
const FETCH_LIMIT_VARIABLE = "BUN_CONFIG_MAX_HTTP_REQUESTS";
const FETCH_LIMIT = "65535";

/** Bun refuses more than 16 KiB of headers without a word, unless this said otherwise at the start. */
const OPTIONS_VARIABLE = "BUN_OPTIONS";
const HEADER_OPTION = "--max-http-header-size";
const MOST_HEADER_BYTES = 128 * 1024;

function optionsWith(given: string | undefined): string {
  if (given?.includes(HEADER_OPTION) === true) return given;
  return `${given ?? ""} ${HEADER_OPTION}=${MOST_HEADER_BYTES}`.trim();
}

/**
 * Lifts Bun's limits on simultaneous fetches and on headers by replacing the process with itself. Returns whether
 * the limit is lifted; when it returns false, execve is not to be had here. What arguments and variables name by a
 * descriptor is for `takeHandedOn` from then on.
 *
 * @param argv all arguments of the program
 */
export function liftFetchLimit(
  argv: readonly string[],
  env: Environment,
  readFile: ReadFile,
): boolean {
  if (env[FETCH_LIMIT_VARIABLE] === FETCH_LIMIT) return true;
  if (typeof process.execve !== "function") return false;
  const { file, args } = thisProgram();
  // Others' variables are none of our business, and a descriptor can be read but once.
  const ours = Object.keys(env).filter((name) => name.startsWith("LMPROXY_"));
  const texts = [...argv, ...ours.map((name) => env[name] ?? "")];
  // Should it come to nothing, it is this very process that is told.
  Object.assign(process.env, handOn(texts, readFile));
  try {
    process.execve(file, [process.argv0, ...args, ...argv], {
      ...process.env,
      [FETCH_LIMIT_VARIABLE]: FETCH_LIMIT,
      [OPTIONS_VARIABLE]: optionsWith(env[OPTIONS_VARIABLE]),
    });
  } catch {
    return false;
  }
  return false;
}
