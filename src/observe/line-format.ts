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
    let line = `{"ts":"${ts}","level":"${level}","msg":${drawJson(msg)}`;
    for (const name in fields) {
      const value = fields[name];
      if (isGiven(value)) line += `,"${name}":${drawJson(value)}`;
    }
    return `${line}}\n`;
  }
  let line =
    format === "text"
      ? `${ts.slice(11, 23)} ${level.toUpperCase().padEnd(7)} ${oneLine(msg)}`
      : `ts=${ts} level=${level} msg=${drawValue(msg)}`;
  for (const name in fields) {
    const value = fields[name];
    if (isGiven(value)) line += ` ${name}=${drawValue(value)}`;
  }
  return `${line}\n`;
}

function isGiven(value: FieldValue): value is string | number | boolean {
  return value !== null && value !== undefined;
}

/** As `JSON.stringify` does, which need not be asked about numbers and most texts. */
function drawJson(value: string | number | boolean): string {
  if (typeof value === "string")
    return isBare(value) ? `"${value}"` : oneLine(JSON.stringify(value));
  return typeof value === "number" && !Number.isFinite(value) ? "null" : String(value);
}

/** Bare where it can be told apart from what follows it, else as JSON has it. */
function drawValue(value: string | number | boolean): string {
  const text = String(value);
  return isBare(text) ? text : oneLine(JSON.stringify(text));
}

function isBare(text: string): boolean {
  return /^[\w.:/@+,*%-]+$/.test(text);
}

/** Controls that JSON leaves as they are: of terminals, of the direction of writing, line ends of Unicode. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

function oneLine(text: string): string {
  // Nearly all texts are: to ask for classes of characters takes longer.
  if (/^[ -~]*$/.test(text)) return text;
  return text.replace(UNPRINTABLE, escapeOne);
}

function escapeOne(character: string): string {
  return character
    .split("")
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
    .join("");
}
