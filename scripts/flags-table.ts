/** Prints README's table of flags: `bun scripts/flags-table.ts`. A test holds README to it. */
import { type Flag, shownDefault, variableName } from "../src/config/flag.ts";
import { VARIABLE_PREFIX } from "../src/config/serve-config.ts";
import { SERVE_FLAGS } from "../src/config/serve-flags.ts";

function code(text: string): string {
  return `\`${text}\``;
}

function cells(flag: Flag): readonly string[] {
  const several = flag.isList ? "..." : "";
  const value = flag.argument === null ? "" : ` ${flag.argument.toUpperCase()}${several}`;
  const spellings = flag.names.map((name) => code(`--${name}${value}`));
  const variables = [variableName(flag, VARIABLE_PREFIX), ...flag.variables].map(code);
  const fallback = shownDefault(flag);
  return [
    spellings.join("<br>"),
    variables.join("<br>"),
    fallback === null ? "" : code(fallback),
    flag.help.replaceAll("|", "\\|").replaceAll("*", "\\*"),
  ];
}

/** The flags of `lmproxy serve` as a Markdown table; ends with a newline. */
export function flagsTable(): string {
  const head = ["Flag", "Variable", "Default", "Meaning"];
  const rows = [head, head.map(() => "---"), ...SERVE_FLAGS.map(cells)];
  return rows.map((row) => `| ${row.join(" | ")} |\n`).join("");
}

if (import.meta.main) process.stdout.write(flagsTable());
