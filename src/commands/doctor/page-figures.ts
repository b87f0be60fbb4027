/** Figures of a page in Prometheus' text format, as lmproxy draws it. Pure. */

export interface Figure {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Every sample of a metric. */
export function figures(page: string, name: string): Figure[] {
  return page.split("\n").flatMap((line) => {
    if (!line.startsWith(name)) return [];
    const [, labels, value] = /^(?:\{(.*)\})? (\S+)$/.exec(line.slice(name.length)) ?? [];
    return value === undefined ? [] : [{ labels: labelsOf(labels ?? ""), value: Number(value) }];
  });
}

/** The first sample of a metric, or null. */
export function figure(page: string, name: string): number | null {
  return figures(page, name)[0]?.value ?? null;
}

function labelsOf(text: string): Record<string, string> {
  const labels = text.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g);
  return Object.fromEntries(
    [...labels].map(([, name = "", value = ""]) => [name, value.replaceAll(/\\(.)/g, "$1")]),
  );
}
