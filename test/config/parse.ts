/** `parseServeConfig` over an environment and files made of plain objects. */

import { parseServeConfig, type ServeConfig } from "../../src/config/serve-config.ts";
import { UsageError } from "../../src/config/usage-error.ts";

export interface Given {
  readonly env?: Readonly<Record<string, string>>;
  /** Contents by path; any other path cannot be read. */
  readonly files?: Readonly<Record<string, string>>;
}

function readFrom(files: Readonly<Record<string, string>>): (path: string) => string {
  return (path) => {
    const content = files[path];
    if (content === undefined) throw Object.assign(new Error("no such file"), { code: "ENOENT" });
    return content;
  };
}

/** The configuration; `argv` is split at blanks. */
export function parse(argv: string, { env = {}, files = {} }: Given = {}): ServeConfig {
  const parsed = parseServeConfig(argv.split(" ").filter(Boolean), env, readFrom(files));
  if (parsed.help !== null) throw new Error("help instead of a configuration");
  return parsed;
}

/** The one line that the user is told; fails when there is none or more than one. */
export function refusal(argv: string | readonly string[], given: Given = {}): string {
  const words = typeof argv === "string" ? argv.split(" ").filter(Boolean) : argv;
  try {
    parseServeConfig(words, given.env ?? {}, readFrom(given.files ?? {}));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    if (/[\r\n]/.test(error.message)) throw new Error(`more than one line: ${error.message}`);
    return error.message;
  }
  throw new Error(`accepted: ${words.join(" ")}`);
}
