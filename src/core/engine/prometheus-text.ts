/**
 * Picking single series out of a page in the Prometheus text format
 * (https://prometheus.io/docs/instrumenting/exposition_formats/).
 *
 * A busy engine's page has thousands of lines, mostly histograms, of which a dozen matter: one search
 * finds the lines that begin with a wanted name, and only those are parsed.
 */

export interface Series {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  /** As written: may be NaN, infinite or negative. NaN also for what is no number at all. */
  readonly value: number;
}

/** Characters a line may have behind the name; a longer one is passed over. */
const MAX_LINE_CHARS = 1024;

const LABEL = /[ \t]*([a-zA-Z_]\w*)[ \t]*=[ \t]*"((?:[^"\\]|\\.)*)"[ \t]*(?:,|(?=\}))/y;
const LABELS_END = /[ \t]*\}/y;
const VALUE_AND_TIMESTAMP = /^[ \t]*([^ \t\r]+)(?:[ \t]+[-+.\deE]+)?[ \t\r]*$/;
const DECIMAL = /^[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?$/;
const INFINITE = /^([-+]?)inf(?:inity)?$/i;

/** A pattern for `readSeries` that finds the metrics named by the expression `source`, exactly. */
export function seriesPattern(source: string): RegExp {
  return new RegExp(String.raw`^[ \t]*(${source})(?=[{ \t])`, "gm");
}

/**
 * The series whose names `pattern` (of `seriesPattern`) finds, in the order of the page, at most
 * `maxSeries`. Lines that cannot be read are left out. Takes time in proportion to the page's length.
 */
export function readSeries(text: string, pattern: RegExp, maxSeries: number): Series[] {
  const found: Series[] = [];
  for (const match of text.matchAll(pattern)) {
    const name = match[1] ?? "";
    // To a pattern, lines also begin behind a CR or U+2028; in this format they do not.
    if (match.index > 0 && text[match.index - 1] !== "\n") continue;
    const start = match.index + match[0].length;
    const newline = text.indexOf("\n", start);
    const end = newline < 0 ? text.length : newline;
    if (end - start > MAX_LINE_CHARS) continue;
    const series = parseSeries(name, text.slice(start, end));
    if (series !== null) found.push(series);
    if (found.length >= maxSeries) break;
  }
  return found;
}

/** Reads what stands behind the name: labels, value and timestamp; null when it is malformed. */
export function parseSeries(name: string, rest: string): Series | null {
  const labels = new Map<string, string>();
  let at = rest.search(/[^ \t]|$/);
  if (rest[at] === "{") {
    at++;
    LABEL.lastIndex = at;
    for (let label = LABEL.exec(rest); label !== null; label = LABEL.exec(rest)) {
      labels.set(label[1] ?? "", unescaped(label[2] ?? ""));
      at = LABEL.lastIndex;
    }
    LABELS_END.lastIndex = at;
    if (!LABELS_END.test(rest)) return null;
    at = LABELS_END.lastIndex;
  }
  const value = VALUE_AND_TIMESTAMP.exec(rest.slice(at))?.[1];
  return value === undefined ? null : { name, labels, value: numberOf(value) };
}

function unescaped(text: string): string {
  if (!text.includes("\\")) return text;
  return text.replaceAll(/\\(.)/g, (_, character) => (character === "n" ? "\n" : character));
}

function numberOf(text: string): number {
  if (DECIMAL.test(text)) return Number(text);
  const sign = INFINITE.exec(text)?.[1];
  if (sign === undefined) return Number.NaN;
  return sign === "-" ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
}
