/** argv → which flags were given with which texts; commander reads, our words explain. */
import { type Command, CommanderError, type Help, Option } from "commander";
import { nearestName } from "../core/nearest-name.ts";
import { type Flag, flagName, shownDefault } from "./flag.ts";
import { UsageError } from "./usage-error.ts";

/** Either the help that was asked for, or what was typed. */
export type CommandLine =
  | { readonly help: string }
  | {
      readonly help: null;
      /** By the flag's key: the texts of its values, in order; none for a switch. */
      readonly given: ReadonlyMap<string, readonly string[]>;
      readonly operands: readonly string[];
    };

/** What any terminal shows, and where the descriptions begin. */
const HELP_COLUMNS = 80;
const HELP_INDENT = 28;

/** A description stands beside a short flag, and under a long one. */
function helpItem(term: string, _: number, description: string, help: Help): string {
  const indent = " ".repeat(HELP_INDENT);
  const text = help
    .boxWrap(description, HELP_COLUMNS - HELP_INDENT)
    .replaceAll("\n", `\n${indent}`);
  const head = `  ${term}  `;
  return head.length <= HELP_INDENT
    ? head.padEnd(HELP_INDENT) + text
    : `${head.trimEnd()}\n${indent}${text}`;
}

/**
 * Reads `argv` (without program and command name) by `command`, which gets the flags added.
 *
 * @throws UsageError for an unknown flag, a missing value, or arguments that the command does not
 *   take. Texts that may be secrets are not repeated in it.
 */
export function readCommandLine(
  command: Command,
  flags: readonly Flag[],
  argv: readonly string[],
): CommandLine {
  let help = "";
  command
    .helpOption("-h, --help", "Show this help.")
    .configureHelp({ formatItem: helpItem })
    .exitOverride()
    .configureOutput({
      getOutHelpWidth: () => HELP_COLUMNS,
      writeOut: (text) => {
        help += text;
      },
      writeErr: () => {},
    });
  refuseFlagsAsValues(flags, argv);
  const options = new Map(flags.map((flag) => [flag, commanderOption(flag)]));
  for (const option of options.values()) command.addOption(option);
  try {
    command.parse(argv, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.code === "commander.helpDisplayed") return { help };
    throw new UsageError(explain(error, command.name(), flags));
  }
  const given = new Map<string, readonly string[]>();
  for (const [flag, option] of options) {
    const name = option.attributeName();
    if (command.getOptionValueSource(name) !== "cli") continue;
    const value: unknown = command.getOptionValue(name);
    given.set(flag.key, flag.argument === null ? [] : [value].flat().map(String));
  }
  return { help: null, given, operands: command.args };
}

/** Commander takes whatever follows for the value: of `--admin-key $UNSET --sticky` anybody would know the key. */
function refuseFlagsAsValues(flags: readonly Flag[], argv: readonly string[]): void {
  for (const [at, word] of argv.entries()) {
    if (word === "--") return;
    const flag = flags.find(({ names }) => names.some((name) => word === `--${name}`));
    const isMissing = /^--(?:[a-z]|$)/i.test(argv[at + 1] ?? "");
    if (isMissing && flag !== undefined && flag.argument !== null)
      throw new UsageError(needs(flag));
  }
}

function needs(flag: Flag): string {
  return `${flagName(flag)} needs a value: ${flag.kind.expects}`;
}

function commanderOption(flag: Flag): Option {
  const names = flag.names.map((name) => `--${name}`).join(", ");
  const value = flag.argument === null ? "" : ` <${flag.argument}${flag.isList ? "..." : ""}>`;
  const fallback = shownDefault(flag);
  const notes = [
    ...(fallback === null ? [] : [`default: ${fallback}`]),
    ...(flag.variables.length === 0 ? [] : [`also ${flag.variables.join(", ")}`]),
  ];
  const description = notes.length === 0 ? flag.help : `${flag.help} (${notes.join("; ")})`;
  return new Option(names + value, description).helpGroup(`${flag.group}:`);
}

function explain(error: CommanderError, command: string, flags: readonly Flag[]): string {
  const quoted = /'([^']*)'/.exec(error.message)?.[1] ?? "";
  switch (error.code) {
    case "commander.unknownOption":
      return unknownFlag(quoted, command, flags);
    case "commander.optionMissingArgument": {
      const flag = flags.find(({ names }) => quoted.startsWith(`--${names[0]}`));
      if (flag === undefined) break;
      return needs(flag);
    }
    case "commander.missingArgument":
      return `${command} needs <${quoted}>; see ${command} --help`;
    case "commander.excessArguments":
      return `${command} takes no further arguments beside its flags; see ${command} --help`;
  }
  return `cannot read the command line; see ${command} --help`;
}

/** What follows a `=` may be a key: it is cut off and not repeated. */
function unknownFlag(typed: string, command: string, flags: readonly Flag[]): string {
  const name = /^--([a-z][\w-]{0,40})(?:=|$)/i.exec(typed)?.[1];
  if (name === undefined) {
    return `unknown flag; the flags of ${command} begin with two dashes, see ${command} --help`;
  }
  const names = flags.flatMap((flag) => flag.names);
  if (names.includes(name)) return `--${name} takes no value`;
  const plain = name.toLowerCase().replaceAll("_", "-");
  const begun = names.filter((one) => one.startsWith(plain));
  const shortest = begun.toSorted((a, b) => a.length - b.length)[0];
  const nearest = shortest ?? nearestName(plain, [...names, "help"]) ?? alike(plain, names);
  return nearest === undefined
    ? `unknown flag --${name}; see ${command} --help`
    : `unknown flag --${name}; did you mean --${nearest}?`;
}

/** The one name that begins as what was typed does, by three letters at least. */
function alike(typed: string, names: readonly string[]): string | undefined {
  for (let letters = typed.length; letters >= 3; letters -= 1) {
    const alike = names.filter((name) => name.startsWith(typed.slice(0, letters)));
    if (alike.length > 0) return alike.length === 1 ? alike[0] : undefined;
  }
  return undefined;
}
