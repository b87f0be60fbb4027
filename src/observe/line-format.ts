/** How a line of the log looks; `text` is for people at a terminal, the others for programs. */
export type LineFormat = "json" | "logfmt" | "text";

export const LINE_FORMATS = ["json", "logfmt", "text"] as const satisfies readonly LineFormat[];

export type LineLevel = "debug" | "info" | "warning" | "error";

/** What a field may hold; null and undefined are left out. */
export type FieldValue = string | number | boolean | null | undefined;

export type Fields = Readonly<Record<string, FieldValue>>;

/**
 * One line of the log, with its end. No value can forge a line or move a terminal's cursor: what is
 * no printable text is escaped as JSON does.
 * @param atMs Wall clock, ms since 1970.
 */
export function drawLine(
  format: LineFormat,
  atMs: number,
  level: LineLevel,
  msg: string,
  fields: Fields,
): string {
  const ts = new Date(atMs).toISOString();
  if (format === "json") {
    return `${oneLine(JSON.stringify({ ts, level, msg, ...fields }, given))}\n`;
  }
  const pairs = Object.entries(fields)
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => `${name}=${drawValue(value)}`);
  if (format === "text") {
    return `${[ts.slice(11, 23), level.toUpperCase().padEnd(7), oneLine(msg), ...pairs].join(" ")}\n`;
  }
  return `${[`ts=${ts}`, `level=${level}`, `msg=${drawValue(msg)}`, ...pairs].join(" ")}\n`;
}

function given(_name: string, value: unknown): unknown {
  return value === null ? undefined : value;
}

/** Bare where it can be told apart from what follows it, else as JSON has it. */
function drawValue(value: FieldValue): string {
  const text = String(value);
  return /^[\w.:/@+,*%-]+$/.test(text) ? text : oneLine(JSON.stringify(text));
}

/** Controls that JSON leaves as they are: of terminals, of the direction of writing, line ends of Unicode. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

function oneLine(text: string): string {
  return text.replace(UNPRINTABLE, escapeOne);
}

function escapeOne(character: string): string {
  return character
    .split("")
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
    .join("");
}
