/** What every command is: a function from its arguments and surroundings to an exit code. */
import type { Static, TObject } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import type { Command } from "commander";
import { readCommandLine } from "../config/command-line.ts";
import type { Flag } from "../config/flag.ts";
import { type Environment, type ReadFile, resolveFlags } from "../config/resolve.ts";
import { UsageError } from "../config/usage-error.ts";

export interface Surroundings {
  readonly env: Environment;
  /** Writes to stdout; resolves when it has been written: whether there is somebody to read more. */
  readonly print: (text: string) => Promise<boolean>;
  /** Writes one line to stderr. */
  readonly warn: (line: string) => void;
  readonly readFile: ReadFile;
}

/**
 * Runs a command with what follows its name. Resolves with the exit code.
 *
 * @throws UsageError (exit code 2) and CommandError (exit code 1), each with one line to print
 */
export type Run = (argv: readonly string[], surroundings: Surroundings) => Promise<number>;

/** The values of all flags, and the operands. */
interface Arguments<T> {
  readonly values: T;
  readonly operands: readonly string[];
}

/**
 * Reads a command line whose flags fill the fields of `schema`; a field without a flag gets its
 * default. Resolves with null when help was asked for, once that is printed.
 *
 * @param prefix what the variables of these flags begin with
 * @throws UsageError
 */
export async function readArguments<T extends TObject>(
  command: Command,
  flags: readonly Flag[],
  schema: T,
  argv: readonly string[],
  { env, readFile, print }: Surroundings,
  prefix: string,
): Promise<Arguments<Static<T>> | null> {
  const line = readCommandLine(command, flags, argv);
  if (line.help !== null) {
    await print(line.help);
    return null;
  }
  if (line.operands.includes("")) {
    throw new UsageError("an argument is empty; is the variable set that it comes from?");
  }
  const resolved = resolveFlags(flags, line.given, env, prefix, readFile);
  const values: unknown = Value.Default(
    schema,
    Object.fromEntries([...resolved].map(([key, { value }]) => [key, value])),
  );
  Value.Assert(schema, values);
  return { values, operands: line.operands };
}
