/** One page of metrics for several processes: what each of them counted together, what one knows once. */

/** Of what all say, the sum; of these gauges those of the processes that answer clients. */
const SUMMED_OVER_WORKERS = new Set([
  "lmproxy_queue_length",
  "lmproxy_body_memory_bytes",
  "lmproxy_body_memory_limit_bytes",
]);
const SUMMED = new Set(["process_resident_memory_bytes", "process_open_fds", "process_max_fds"]);
const GREATEST = new Set(["lmproxy_node_oldest_request_seconds"]);
/** Counters that the one who knows the nodes has for all. */
const KNOWN_ONCE = new Set(["lmproxy_node_pieces_total", "lmproxy_node_state_changes_total"]);

interface Family {
  readonly head: string[];
  readonly name: string;
  readonly type: string;
  /** By its name and labels, as Prometheus' dialect writes them. */
  readonly series: Map<string, number>;
}

/** What processes that have ended have counted. */
export class PastCounts {
  readonly #series = new Map<string, Map<string, number>>();

  /** @param page In Prometheus' dialect. */
  add(page: string): void {
    for (const { name, type, series } of parse(page).values()) {
      if (type === "gauge" || KNOWN_ONCE.has(name)) continue;
      const sums = this.#series.get(name) ?? new Map<string, number>();
      this.#series.set(name, sums);
      for (const [key, value] of series) sums.set(key, (sums.get(key) ?? 0) + value);
    }
  }

  of(family: string): ReadonlyMap<string, number> {
    return this.#series.get(family) ?? new Map();
  }
}

/**
 * @param own Of the process that knows the nodes; it says which families and nodes there are.
 * @param workers Of those that answer clients. All are in the same dialect.
 */
export function mergePages(
  own: string,
  workers: readonly string[],
  past: PastCounts,
  openMetrics: boolean,
): string {
  const pages = workers.map(parse);
  const families = parse(own);
  const nodes = new Set([...(families.get("lmproxy_node_info")?.series.keys() ?? [])].map(nodeOf));
  const lines: string[] = [];
  for (const family of families.values()) {
    const parts = pages.flatMap((page) => page.get(family.name)?.series ?? []);
    const merged = merge(family, [...parts, past.of(family.name)]);
    lines.push(...family.head);
    for (const [key, value] of merged) {
      const node = nodeOf(key);
      if (node !== null && !nodes.has(node)) continue;
      lines.push(`${openMetrics ? inOpenMetrics(key) : key} ${value}`);
    }
  }
  return `${lines.join("\n")}\n${openMetrics ? "# EOF\n" : ""}`;
}

function merge(
  { name, type, series }: Family,
  parts: readonly ReadonlyMap<string, number>[],
): ReadonlyMap<string, number> {
  const isGauge = type === "gauge";
  if (KNOWN_ONCE.has(name)) return series;
  if (GREATEST.has(name)) return combined([series, ...parts], Math.max);
  if (SUMMED_OVER_WORKERS.has(name)) return combined(parts, (a, b) => a + b);
  if (isGauge && !SUMMED.has(name)) return series;
  return combined([series, ...parts], (a, b) => a + b);
}

function combined(
  parts: readonly ReadonlyMap<string, number>[],
  of: (a: number, b: number) => number,
): ReadonlyMap<string, number> {
  const result = new Map<string, number>();
  for (const part of parts) {
    for (const [key, value] of part) {
      const known = result.get(key);
      result.set(key, known === undefined ? value : of(known, value));
    }
  }
  return result;
}

function parse(page: string): ReadonlyMap<string, Family> {
  const families = new Map<string, Family>();
  let head: string[] = [];
  let family: Family | null = null;
  for (const line of page.split("\n")) {
    if (line === "" || line === "# EOF") continue;
    if (line.startsWith("#")) {
      const [, what, name = "", type = ""] = line.split(" ");
      if (what === "HELP") head = [line];
      else head.push(line);
      if (what !== "TYPE") continue;
      // OpenMetrics names a counter's family without what its series end in.
      const full = type === "counter" && !name.endsWith("_total") ? `${name}_total` : name;
      family = { head, name: full, type, series: new Map() };
      families.set(full, family);
      continue;
    }
    const space = line.lastIndexOf(" ");
    const key = line.slice(0, space).replace(/le="(\d+)\.0"/, 'le="$1"');
    family?.series.set(key, Number(line.slice(space + 1).replace("+Inf", "Infinity")));
  }
  return families;
}

function inOpenMetrics(key: string): string {
  return key.replace(/le="(\d+)"/, 'le="$1.0"');
}

/** The node that a series is of, or null. */
function nodeOf(key: string): string | null {
  return /[{,]node="((?:[^"\\]|\\.)*)"/.exec(key)?.[1] ?? null;
}
