/** What was found, row by row, and the page it is shown on. */

export interface Row {
  /** The part of the run: bytes, leaving, keys, faults, sleep, adapters or distserve. */
  readonly part: string;
  readonly kind: string;
  readonly what: string;
  /** Good: as promised. Limit: what lmproxy cannot do with this engine, and says so. Bad: a fault. */
  readonly verdict: "good" | "limit" | "bad";
  readonly seen: string;
}

const HEAD = ["engine", "what", "seen", ""] as const;

const TITLES: Readonly<Record<string, string>> = {
  bytes: "Answers beside the engine alone",
  leaving: "A client that leaves",
  keys: "Keys",
  faults: "Faults under load, one engine of two",
  sleep: "An engine's own sleep",
  adapters: "LoRA adapters",
  distserve: "DistServe",
};

export function markdown(rows: readonly Row[]): string {
  const parts = Object.keys(TITLES).filter((part) => rows.some((row) => row.part === part));
  return parts
    .map((part) => {
      const lines = rows
        .filter((row) => row.part === part)
        .map(({ kind, what, seen, verdict }) => line([kind, what, seen, verdict]));
      return [`### ${TITLES[part] ?? part}`, "", line(HEAD), line(HEAD.map(() => "---")), ...lines]
        .join("\n")
        .concat("\n");
    })
    .join("\n");
}

function line(cells: readonly string[]): string {
  const clean = cells.map((cell) => cell.replaceAll("|", "\\|").replaceAll(/\s*\n\s*/g, " "));
  return `| ${clean.join(" | ")} |`;
}
