/**
 * Pages of many engines as one, in the Prometheus text format
 * (https://prometheus.io/docs/instrumenting/exposition_formats/): each family once, with a `node` label
 * on every series. What is no sample is left out, so that one engine's page cannot spoil the others'.
 */
import { parseSeries } from "./prometheus-text.ts";

/** So many lines are taken in before others get their turn. */
const LINES_A_SLICE = 250;
/** A longer line is left out, characters. */
const LONGEST_LINE = 8 * 1024;

interface Family {
  readonly type: string;
  help: string | null;
  readonly lines: string[];
}

const HEADER = /^#[ \t]+(HELP|TYPE)[ \t]+([a-zA-Z_:][\w:]*)[ \t]+(.*)$/;
const TYPES: ReadonlySet<string> = new Set(["counter", "gauge", "histogram", "summary", "untyped"]);
const NAME = /[a-zA-Z_:][\w:]*/y;
/** Labels as they are nearly always written; each step begins and ends in one way, so this is linear. */
const LABELS = /(?:[a-zA-Z_]\w*="(?:[^"\\]|\\.)*",?)*/y;
/** Value, timestamp, and an exemplar, which only OpenMetrics knows. */
const REST =
  /^[ \t]*([-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?|[-+]?[Ii]nf|NaN)([ \t]+-?\d{1,18})?[ \t\r]*(?:#.*)?$/;
const LABEL = /([a-zA-Z_]\w*)="(?:[^"\\]|\\.)*"/g;
const OWN_NODE = /(?:^|,)node="/;

/** What a sample's name may have behind its family's, by the family's type. */
const SUFFIX: Readonly<Record<string, RegExp>> = {
  histogram: /^_(?:bucket|sum|count)$/,
  summary: /^_(?:sum|count)$/,
};

export class MergedMetrics {
  readonly #families = new Map<string, Family>();
  readonly #mostCharacters: number;
  #characters = 0;

  /** @param mostCharacters What does not fit is left out, characters. */
  constructor(mostCharacters: number) {
    this.#mostCharacters = mostCharacters;
  }

  get isFull(): boolean {
    return this.#characters >= this.#mostCharacters;
  }

  /** Takes a page in; gives others their turn at each `yield`. */
  *add(node: string, page: string): Generator<void, void> {
    const label = `node="${escaped(node)}"`;
    const types = new Map<string, string>();
    const helps = new Map<string, string>();
    let current = "";
    let lines = 0;
    for (let start = 0; start < page.length && !this.isFull; ) {
      const newline = page.indexOf("\n", start);
      const end = newline < 0 ? page.length : newline;
      if (end - start <= LONGEST_LINE) {
        const line = page.slice(start, end);
        const [, what, name = "", text = ""] = line.startsWith("#")
          ? (HEADER.exec(line.trimEnd()) ?? [])
          : [];
        if (what === "HELP") helps.set(name, text);
        if (what === "TYPE") {
          types.set(name, text);
          current = name;
        }
        if (!line.startsWith("#")) this.#sample(line, label, current, types, helps);
      }
      start = end + 1;
      lines += 1;
      if (lines % LINES_A_SLICE === 0) yield;
    }
  }

  /** The page, a family at a time. */
  *families(): Generator<string, void> {
    for (const [name, { type, help, lines }] of this.#families) {
      const helpLine = help === null ? "" : `# HELP ${name} ${help}\n`;
      yield `${helpLine}# TYPE ${name} ${type}\n${lines.join("\n")}\n`;
    }
  }

  #sample(
    line: string,
    label: string,
    current: string,
    types: ReadonlyMap<string, string>,
    helps: ReadonlyMap<string, string>,
  ): void {
    NAME.lastIndex = 0;
    const name = NAME.exec(line)?.[0];
    if (name === undefined) return;
    const drawn = withLabel(name, line.slice(name.length), label);
    if (drawn === null) return;
    const belongs = name === current || isPartOf(name, current, types.get(current));
    const familyName = belongs ? current : name;
    const said = types.get(familyName) ?? counterOf(name, types);
    const type = TYPES.has(said) ? said : "untyped";
    const family = this.#families.get(familyName) ?? { type, help: null, lines: [] };
    // The first page says what a family is; and a histogram has no series of its own name.
    if (family.type !== type || (type === "histogram" && name === familyName)) return;
    this.#families.set(familyName, family);
    family.help ??= helps.get(familyName) ?? null;
    family.lines.push(drawn);
    this.#characters += drawn.length;
  }
}

function isPartOf(name: string, family: string, type = ""): boolean {
  return name.startsWith(family) && SUFFIX[type]?.test(name.slice(family.length)) === true;
}

/** In OpenMetrics' dialect a counter's family lacks the `_total` that its samples have. */
function counterOf(name: string, types: ReadonlyMap<string, string>): string {
  const family = name.replace(/_total$/, "");
  return family !== name && types.get(family) === "counter" ? "counter" : "untyped";
}

/** A sample with one more label; null for what is none. One that the engine calls so becomes `exported_node`. */
function withLabel(name: string, behind: string, label: string): string | null {
  if (!behind.startsWith("{")) {
    const rest = /^[ \t]/.test(behind) ? drawnRest(behind) : null;
    return rest === null ? null : `${name}{${label}} ${rest}`;
  }
  LABELS.lastIndex = 1;
  const labels = LABELS.exec(behind)?.[0] ?? "";
  const at = 1 + labels.length;
  if (behind[at] === "}" && !OWN_NODE.test(labels)) {
    const rest = drawnRest(behind.slice(at + 1));
    if (rest === null || isRepeated(labels)) return null;
    return `${name}{${label}${labels === "" ? "" : ","}${labels}} ${rest}`;
  }
  return rewritten(name, behind, label);
}

/** Value and timestamp; null for a value that no float64 holds, on which Prometheus refuses the whole page. */
function drawnRest(text: string): string | null {
  const [, value, timestamp = ""] = REST.exec(text) ?? [];
  if (value === undefined || (/\d/.test(value) && !Number.isFinite(Number(value)))) return null;
  return `${value}${timestamp}`;
}

/** Whether a label stands there twice, or the name does: Prometheus refuses the whole page then. */
function isRepeated(labels: string): boolean {
  const seen = new Set(["__name__"]);
  for (const [, name = ""] of labels.matchAll(LABEL)) {
    if (seen.has(name)) return true;
    seen.add(name);
  }
  return false;
}

function rewritten(name: string, behind: string, label: string): string | null {
  const series = parseSeries(name, behind);
  if (series === null || series.labels.has("exported_node")) return null;
  if (series.labels.has("__name__")) return null;
  if (Number.isNaN(series.value) && !/\bnan\b/i.test(behind)) return null;
  const others = [...series.labels].map(
    ([key, value]) => `${key === "node" ? "exported_node" : key}="${escaped(value)}"`,
  );
  const value = String(series.value).replace("Infinity", "Inf");
  return `${name}{${[label, ...others].join(",")}} ${value}`;
}

function escaped(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
