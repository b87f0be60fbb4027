/**
 * The text format of Prometheus, and of OpenMetrics where somebody asks for it.
 * Source: prometheus.io "Exposition formats" 0.0.4; OpenMetrics 1.0.0.
 */
import type { Histogram } from "./histogram.ts";

export type Labels = Readonly<Record<string, string>>;

export type MetricType = "counter" | "gauge" | "histogram";

/** Writes families of metrics one after the other; each is begun once, with all its series behind it. */
export class Exposition {
  readonly #openMetrics: boolean;
  readonly #lines: string[] = [];
  #name = "";

  /** @param openMetrics In OpenMetrics' dialect: counters' families lose `_total`, an end is marked. */
  constructor(openMetrics = false) {
    this.#openMetrics = openMetrics;
  }

  /** Begins a family. @param name Of a counter with its `_total`; units are base units, s and bytes. */
  family(name: string, type: MetricType, help: string): this {
    this.#name = name;
    const family = this.#openMetrics && type === "counter" ? name.replace(/_total$/, "") : name;
    this.#lines.push(`# HELP ${family} ${escapeHelp(help)}`, `# TYPE ${family} ${type}`);
    const unit = /_(seconds|bytes|ratio)$/.exec(family)?.[1];
    if (this.#openMetrics && unit !== undefined) this.#lines.push(`# UNIT ${family} ${unit}`);
    return this;
  }

  /** One series of the family begun last. */
  sample(value: number, labels: Labels = {}): this {
    this.#lines.push(`${this.#name}${drawLabels(labels)} ${drawValue(value)}`);
    return this;
  }

  /** One series of a family of histograms. */
  histogram(histogram: Histogram, labels: Labels = {}): this {
    const cumulative = histogram.cumulative();
    const inner = drawInner(labels);
    const before = inner === "" ? "" : `${inner},`;
    for (const [at, bound] of histogram.bounds.entries()) {
      const le = this.#openMetrics && Number.isInteger(bound) ? `${bound}.0` : `${bound}`;
      this.#lines.push(`${this.#name}_bucket{${before}le="${le}"} ${cumulative[at]}`);
    }
    const count = cumulative.at(-1) ?? 0;
    const outer = inner === "" ? "" : `{${inner}}`;
    this.#lines.push(
      `${this.#name}_bucket{${before}le="+Inf"} ${count}`,
      `${this.#name}_sum${outer} ${drawValue(histogram.sum)}`,
      `${this.#name}_count${outer} ${count}`,
    );
    return this;
  }

  /** The page. */
  text(): string {
    return `${this.#lines.join("\n")}\n${this.#openMetrics ? "# EOF\n" : ""}`;
  }
}

function drawLabels(labels: Labels): string {
  const inner = drawInner(labels);
  return inner === "" ? "" : `{${inner}}`;
}

function drawInner(labels: Labels): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}="${escapeLabel(value)}"`)
    .join(",");
}

function escapeLabel(value: string): string {
  return /[\\"\n]/.test(value)
    ? value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")
    : value;
}

function escapeHelp(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

function drawValue(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  if (value === Number.NEGATIVE_INFINITY) return "-Inf";
  return String(value);
}
